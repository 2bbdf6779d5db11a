//! The processes that touch guests: roles runner and compiler.
