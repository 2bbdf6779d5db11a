//! All sockets of a node.
