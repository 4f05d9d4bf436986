"""From a folder of files to stored documents: finding, naming, sending. Knows no format of a document beyond its media type."""
