/** What we use of Label Studio 1.23.2's editor and data manager, as their sources have it. For the type check only. */

interface Result {
  type: string;
  selectedLabels?: Label[];
  /** @param options `fast`: a brush's strokes as they are, as drafts have them */
  serialize(options?: { fast?: boolean }): PromptEntry | null;
}

interface Label {
  selected: boolean;
  hotkey?: string | null;
  setSelected(selected: boolean): void;
}

interface Region {
  id: string;
  cleanId: string;
  type: string;
  dynamic: boolean;
  fromSuggestion: boolean;
  isDrawing: boolean;
  labelName?: string;
  object: { name: string; stageRef?: Stage; currentImageEntity?: ImageEntity | null; activeStates(): Control[] };
  /** The result that it was read from: of a draft, or of what was submitted. */
  _rawResult?: { is_positive?: boolean };
  item_index: number | null;
  currentImageEntity?: ImageEntity | null;
  results: Result[];
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  rotation?: number;
  negative?: boolean;
  touches?: ArrayLike<Touch>;
  /** Of a brush: its code, and a picture in its place; of a bitmask: what it is drawn on, and the box of that. */
  rle?: ArrayLike<number> | null;
  maskDataURL?: string | null;
  getMaskImage?(): HTMLImageElement | undefined;
  imageDataURL?: string | null;
  offscreenCanvasRef?: OffscreenCanvas | null;
  bbox?: object | null;
  /** Of a polygon: its corners, in percent. */
  points?: ArrayLike<{ x: number; y: number }>;
  closed?: boolean;
  strokeColor?: string;
  hidden?: boolean;
  /** What Konva draws it with: of a brush a layer of its own, of a bitmask its picture, else its shape. */
  layerRef?: Layer | null;
  imageRef?: Drawn | null;
  shapeRef?: Drawn | null;
  /** Notes at the region, under `text`. */
  meta?: { text?: unknown };
  makeDynamic(): void;
  setValue(palette: Control): void;
  setDrawing(drawing: boolean): void;
  deleteRegion(): void;
  removeResult(result: Result): void;
}

/** A stroke of a brush, in percent of the picture's width and height; its width is in percent of the picture's. */
interface Touch {
  type: "add" | "eraser";
  relativePoints: ArrayLike<number>;
  relativeStrokeWidth: number;
}

/** An image tag, and the picture that it shows now. */
interface ImageTag extends Control {
  /** As the configuration writes it: `$image`. */
  value?: string;
  stageRef?: Stage;
  stageWidth: number;
  stageHeight: number;
  /** The palettes with a label that is picked, of this image. */
  activeStates(): Control[];
  currentImageEntity: ImageEntity | null;
  imageIsLoaded: boolean;
  multiImage?: boolean;
}

interface ImageEntity {
  src: string;
  /** Which picture of a list it is. */
  index: number;
  naturalWidth: number;
  naturalHeight: number;
  rotation?: number;
  /** The picture as the page has it, once it was downloaded. */
  currentSrc?: string;
  error: boolean;
  imageLoaded: boolean;
  setError(failed: boolean): void;
  /** Download it, if no cache has it. */
  preload(): void;
  /** Show what is at an address; the browser downloads it. */
  markAsLoaded(address: string): void;
}

/** What an image tag is drawn on, by Konva; each layer draws all of its regions anew. */
interface Stage {
  content: HTMLElement;
  getLayers(): Layer[];
  on(events: string, callback: () => void): void;
  off(events: string): void;
  width(): number;
  height(): number;
  getAbsoluteTransform(): { getMatrix(): number[] };
  getIntersection(place: { x: number; y: number }): Drawn | null;
}

interface Layer {
  draw(): Layer;
  batchDraw(): Layer;
  getStage(): Stage | null;
  getChildren(): Drawn[];
  getNativeCanvasElement(): HTMLCanvasElement;
  listening(isListening: boolean): unknown;
}

interface Drawn {
  className: string;
  attrs: { id?: string; name?: string };
  getParent(): Drawn | null;
  image?(): unknown;
  opacity(opacity: number): unknown;
  visible(isVisible: boolean): unknown;
}

interface Annotation {
  id: string;
  isDrawing: boolean;
  names: Map<string, Control>;
  regions: Region[];
  selectedRegions?: Region[];
  suggestions: { size: number; keys(): Iterable<string>; values(): Iterable<Region>; has(id: string): boolean };
  history: History;
  undo(): void;
  redo(): void;
  /** Made here; and of those, whether it was submitted already. */
  userGenerate?: boolean;
  sentUserGenerate?: boolean;
  /** Of its draft, 0 as long as it has none. */
  draftId: number;
  isDraftSaving: boolean;
  versions: { draft?: PromptEntry[] };
  /** Saves a draft, five seconds after the first change. */
  autosave?: { cancel(): void };
  serializeAnnotation(options: { fast: boolean }): PromptEntry[];
  addVersions(versions: { draft: PromptEntry[] }): void;
  setDraftId(id: number): void;
  setDraftSaving(saving: boolean): void;
  onDraftSaved(): void;
  acceptSuggestion(id: string): void;
  rejectSuggestion(id: string): void;
  unselectAll(): void;
  appendResults(results: any[]): Region[] | undefined;
  isReadOnly(): boolean;
}

/** Undo and redo: the regions after each step, and which of them are on the screen. */
interface History {
  history: { areas: Record<string, object> }[];
  undoIdx: number;
  canUndo: boolean;
  canRedo: boolean;
  hasChanges?: boolean;
  freeze(key: string): void;
  unfreeze(key: string): void;
  setReplaceNextUndoState(replace: boolean): void;
}

interface Store {
  config: string;
  isLoading: boolean;
  autoAnnotation: boolean;
  autoAcceptSuggestions: boolean;
  settings: { continuousLabeling: boolean };
  task: { id: number } | null;
  annotationStore: { selected: Annotation | null; viewingAll?: boolean };
  setAutoAnnotation(on: boolean): void;
  setAutoAcceptSuggestions(on: boolean): void;
  submitAnnotation(): unknown;
  updateAnnotation(): unknown;
  submitDraft(annotation: Annotation): Promise<unknown>;
  loadSuggestions(answer: Promise<unknown>, read: (answer: any) => unknown): Promise<void>;
}

/** A tag of the labeling configuration that draws or names. */
interface Control {
  name: string;
  type: string;
  isSelected?: boolean;
  selectedValues?(): string[];
  toname?: string;
  /** Of a palette: its labels. */
  children?: PaletteLabel[];
  selectedLabels?: Label[];
  selectedValues?(): string[];
}

interface PaletteLabel {
  value?: string;
  background?: string;
}

interface Tool {
  toolName: string;
  dynamic: boolean;
  isDrawingTool?: boolean;
  /** What its keys do, by the name of the key: a title, and the work. */
  extraShortcuts?: Record<string, [string, () => void]>;
  mode?: string;
  control: Control;
}

interface Manager {
  findSelectedTool(): Tool | undefined;
  selectTool(tool: Tool, selected: boolean): void;
  allTools(): Tool[];
}

interface DataManager {
  projectId: number | string;
  lsf?: { lsf: Store; task: { id: number } | null };
  /** The list of tasks beside the editor, as far as it was scrolled to. */
  store?: {
    viewsStore?: { selected?: { id?: number | string; virtual?: boolean; query?: string } };
    isLabelStreamMode: boolean;
    dataStore: { list: { id: number }[]; hasNextPage?: boolean; fetch(how: { interaction: string }): Promise<unknown> } | null;
    startLabeling(task: { id: number }): void;
  };
  on(event: string, callback: (...given: any[]) => unknown): void;
  off(event: string, callback: (...given: any[]) => unknown): void;
  apiCall(name: string, params: object, body?: object, ...more: any[]): Promise<any>;
  getEventCallbacks(event: string): Set<(...given: any[]) => unknown>;
}

/** One entry of `context.result`, as the editor writes it. */
interface PromptEntry {
  id: string;
  type: string;
  from_name: string;
  to_name: string;
  item_index?: number;
  original_width?: number;
  original_height?: number;
  image_rotation?: number;
  is_positive?: boolean;
  meta?: object;
  value: Record<string, any>;
}

/** What came for some prompts: Label Studio's results, and of how many masks they are one. */
interface Answer {
  results: any[];
  candidates: number;
}

/** What the backend says of itself (backend/serving/state.py). */
interface BackendState {
  backend: "loading" | "ready" | "failed";
  model?: string;
  device?: string;
  image?: "encoding" | "ready" | "failed";
  /** By image tag: how many pages its file has, where the first is seen and others are not. */
  pages?: Record<string, number>;
  reason?: string;
}

/** One of a project's ML backends, as Label Studio lists them. */
interface Backend {
  id: number;
  state: string;
  url: string;
  title: string;
  is_interactive: boolean;
  error_message: string | null;
  /** The project's options (backend/labelstudio/options.py), or the same as text. */
  extra_params?: { complete_maps?: unknown; polygon_tolerance_pixels?: unknown; sequence?: string } | string | null;
}

type Factory = (module: object, exports: Record<string, any>, require: unknown) => void;
type BundleRequire = ((id: string) => Record<string, any>) & { m: Record<string, Factory> };

interface Window {
  APP_SETTINGS?: {
    hostname?: string;
    version?: { release?: string };
    editor_keymap?: Record<string, { key?: string | null } | null> | null;
  };
  dataManager?: DataManager;
  Htx?: Store;
  /** The parts of its bundle, as webpack loads them. */
  webpackChunklabelstudio?: { push(part: [(string | number)[], Record<string, Factory>, ((require: BundleRequire) => void)?]): unknown };
  ToolManager?: { getInstance(of: { name: string }): Manager | undefined; allInstances(): Manager[] };
}
