//! A whole cluster in memory with time under control.
