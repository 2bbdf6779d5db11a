//! The loops that look after nodes.
pub mod ipam;
pub mod lifecycle;
pub mod pod_garbage;
