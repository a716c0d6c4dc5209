"""Where the images of tasks come from: the shared folder, Label Studio, cloud storages, other servers."""

from backend.sources.image_sources import ImageSources, open_sources
from backend.sources.source_file import SourceFile

__all__ = ["ImageSources", "SourceFile", "open_sources"]
