//! The bodies of the Ingress: what goes to pods and what comes back.
use super::pool::Lease;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// A request's body on its way to a pod; nothing for a request that is sent a second time.
pub struct Upload(pub Option<Incoming>);

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A response's body on its way to the client.
pub enum Reply {
    /// Our own words.
    Said(Full<Bytes>),
    /// A pod's, streamed. At its end the connection goes back to the pool; dropped before, it is closed.
    Pod(Incoming, Option<Lease>),
}

impl Reply {
    pub fn pod(body: Incoming, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.give_back();
            return Self::Pod(body, None);
        }
        Self::Pod(body, Some(lease))
    }

    /// An answer of the Ingress itself.
    pub fn said(status: StatusCode, text: &'static str) -> Response<Self> {
        let mut response = Response::new(Self::Said(Full::from(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Said(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Pod(body, lease) => {
                let polled = Pin::new(&mut *body).poll_frame(context);
                let has_ended = matches!(polled, Poll::Ready(None)) || matches!(polled, Poll::Ready(Some(Ok(_)))) && body.is_end_stream();
                if has_ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Said(body) => body.is_end_stream(),
            Self::Pod(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Said(body) => body.size_hint(),
            Self::Pod(body, _) => body.size_hint(),
        }
    }
}
