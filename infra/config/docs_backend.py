"""What the settings of the SAM2 backend are for, in its own words.

The backend is a program of its own and not imported here; a test holds this against `backend.settings`.
"""

from __future__ import annotations

# By the name in PASSED_ON: default as the backend's environment takes it, and what it is.
BACKEND_TEXTS = {
    "SAM2_DEVICE": ("auto", "where the model runs"),
    "SAM2_ENGINE": ("auto", "what computes; `auto`: torch on CUDA, else OpenVINO where its masks are those of torch"),
    "LABEL_STUDIO_PUBLIC_URL": ("", "Label Studio as tasks may name it, LABEL_STUDIO_HOST"),
    "IMAGE_HOSTS_ALLOWED": ("", "`host` or `host:port`, by commas: private addresses that images may come from"),
    "LOG_LEVEL": ("INFO", "how much the log holds: DEBUG, INFO, WARNING or ERROR"),
    "IMAGE_PIXEL_LIMIT": ("100000000", "larger images are refused before they are decoded"),
    "IMAGE_DOWNLOAD_LIMIT_MB": ("512", "larger files are not fetched"),
    "IMAGE_CACHE_DISK_MB": ("4096", "fetched images kept on the disk"),
    "IMAGE_MEMORY_MB": ("256", "decoded images kept in memory"),
    "EMBEDDING_CACHE_MEMORY_MB": ("1024", "embeddings kept where the model runs (4 to 16 MB an image)"),
    "EMBEDDING_CACHE_DISK_MB": ("20480", "embeddings kept on the disk; 0 keeps none"),
    "MASK_MEMORY_MB": ("64", "masks kept to refine from; 0 starts each anew"),
    "MASK_FEEDBACK": (
        "always",
        "start a refined mask from the one before: always, unless a negative point came, never",
    ),
    "BOX_MEMORY_SECONDS": ("120.0", "how long a box counts for points that are sent after it"),
    "POLYGON_TOLERANCE_PIXELS": (
        "1.5",
        "polygon's distance to the edge; projects choose this and the next four in `extra_params`",
    ),
    "MASK_FILL_HOLES_PIXELS": ("0", "holes up to this area are filled"),
    "MASK_REMOVE_SPECKS_PIXELS": ("0", "parts up to this area are removed"),
    "MASK_KEEP": ("all", "which parts of a mask are kept"),
    "CROP_SMALL_OBJECTS": ("false", "look again, closer, at small objects"),
    "PREWARM_NEIGHBOURS": ("3", "images after the opened one that are encoded ahead"),
    "EMBED_BATCH": ("", "images in one encoder run of a batch; default 1, on CUDA 8"),
    "MODEL_WAIT_SECONDS": ("60.0", "how long a click waits for a loading model (Label Studio: 100 s)"),
    "CLICK_DEADLINE_SECONDS": ("90.0", "how long a click may take in all (Label Studio: 100 s)"),
    "CLICK_LIMIT": ("64", "clicks worked on or waiting; more are refused"),
}
