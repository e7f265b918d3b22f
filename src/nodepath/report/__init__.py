"""Views of records: one page, one figure, one table, two sentences."""

from nodepath.report.page import write_page
from nodepath.report.plane import PLANE_SUFFIXES, write_plane
from nodepath.report.rows import Row, rows_from_results
from nodepath.report.summary import two_sentences
from nodepath.report.table import summary_tables

__all__ = ["PLANE_SUFFIXES", "Row", "rows_from_results", "summary_tables", "two_sentences", "write_page", "write_plane"]
