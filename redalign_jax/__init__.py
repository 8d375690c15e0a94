"""redalign: should these modalities be aligned, and how strongly?"""

__version__ = "0.1.0"
