//! What black-box tests share: starting the binary, waiting for it, asking it over HTTP.
