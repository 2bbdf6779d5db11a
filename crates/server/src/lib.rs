//! The API: request, object, store, watch.
