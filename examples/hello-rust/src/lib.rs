//! The demo's guest in ordinary Rust: answers with the pod's name and the path that was asked for.
//!
//! ```sh
//! rustup target add wasm32-wasip2
//! cargo build --release --target wasm32-wasip2
//! knarr run target/wasm32-wasip2/release/hello_rust.wasm
//! ```
use std::io::Write as _;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Hello);
struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "nowhere".into());
        let path = request.path_with_query().unwrap_or_default();
        let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())]).expect("a valid header");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("asked for once");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("asked for once");
        writeln!(stream, "hello from {pod}, path {path}").expect("the client still reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("no length was promised");
    }
}
