//! Runtime over runner processes.
