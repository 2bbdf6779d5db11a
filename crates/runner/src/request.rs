//! One request in a fresh instance. The guest is polled by the task of its connection: no hop between tasks, and a client that goes away takes it along.
//!
//! A trap answers 500 and ends the container, as a crash does: exit code 134, reason Error, the backtrace as message. Requests of other
//! instances may finish, because nothing is shared with the one that trapped. The alternative, a trap that only costs its request, would hide
//! a broken guest from restarts, back-off and everybody who looks at the pod.
use crate::{
    Error,
    ending::Ending,
    guest,
    http::Served,
    live::{Live, charged},
};
use bytes::{Bytes, BytesMut};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Sleep,
};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::{
        bindings::http::types::{ErrorCode, Scheme},
        body::HyperOutgoingBody,
    },
};

/// From a request's arrival to the end of its response's body.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

type Call = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;
type Answered = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// A guest at work on a request. Dropping it drops its store.
struct Running {
    call: Call,
    served: Arc<Served>,
    /// Made when the guest first waits: most never do.
    bounds: Option<Box<Bounds>>,
    _permit: OwnedSemaphorePermit,
}

struct Bounds {
    limit: Pin<Box<Sleep>>,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Why a guest did not come to its end.
enum Failure {
    Guest(wasmtime::Error),
    TimedOut,
    Killed,
}

impl Running {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Poll::Ready(ended) = charged(&self.served.live, self.call.as_mut(), context) {
            return Poll::Ready(ended.map_err(Failure::Guest));
        }
        let live: &Arc<Live> = &self.served.live;
        let bounds = self.bounds.get_or_insert_with(|| {
            Box::new(Bounds { limit: Box::pin(tokio::time::sleep(REQUEST_LIMIT)), killed: Box::pin(live.killed.clone().cancelled_owned()) })
        });
        if bounds.limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Failure::TimedOut));
        }
        bounds.killed.as_mut().poll(context).map(|()| Err(Failure::Killed))
    }

    /// Notes a failure: what a guest did to itself ends its container.
    fn failed(&self, failure: &Failure) {
        match failure {
            Failure::Guest(error) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() => {}
            Failure::Guest(error) => self.served.containers.end(&self.served.live, Ending::of(error)),
            Failure::TimedOut => tracing::debug!(pod = %self.served.live.container.pod, "a request took too long"),
            Failure::Killed => {}
        }
    }
}

/// Answers a request.
pub async fn answer<B>(served: &Arc<Served>, request: Request<B>) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    let live = &served.live;
    let Ok(permit) = live.in_flight.clone().try_acquire_owned() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once");
    };
    live.requests.fetch_add(1, Ordering::Relaxed);
    match begin(served, request) {
        Ok((call, answered)) => follow(Running { call, served: served.clone(), bounds: None, _permit: permit }, answered).await,
        Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn begin<B>(served: &Arc<Served>, request: Request<B>) -> wasmtime::Result<(Call, oneshot::Receiver<Answered>)>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    let mut store = guest::store(&served.containers.engine, &served.containers, &served.live)?;
    let (sender, answered) = oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let pre = served.pre.clone();
    let call = async move {
        let proxy = pre.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    };
    Ok((Box::pin(call), answered))
}

/// Runs the guest until it has answered, and keeps it with the body when it goes on.
async fn follow(mut running: Running, mut answered: oneshot::Receiver<Answered>) -> Response<Body> {
    let (ended, answer) = poll_fn(|context| {
        let ended = running.poll(context);
        match (ended, Pin::new(&mut answered).poll(context)) {
            (ended, Poll::Ready(Ok(answer))) => Poll::Ready((ended, Some(answer))),
            (Poll::Pending, _) => Poll::Pending,
            (ended, _) => Poll::Ready((ended, None)),
        }
    })
    .await;
    if let Poll::Ready(Err(failure)) = &ended {
        running.failed(failure);
    }
    match (answer, ended) {
        (Some(Ok(response)), Poll::Ready(Ok(()))) => whole(response).await,
        (Some(Ok(response)), Poll::Pending) => {
            response.map(|inner| Body::Streamed(Streamed { ready: VecDeque::new(), inner, running: Some(running) }))
        }
        (_, Poll::Ready(Err(Failure::TimedOut))) => plain(StatusCode::GATEWAY_TIMEOUT, "the guest took too long"),
        (_, Poll::Ready(Err(Failure::Killed))) => plain(StatusCode::SERVICE_UNAVAILABLE, "the container is being stopped"),
        (_, Poll::Ready(Err(Failure::Guest(error)))) if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "too many instances at once")
        }
        (_, Poll::Ready(Err(Failure::Guest(_)))) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest trapped"),
        (Some(Err(code)), _) => plain(StatusCode::BAD_GATEWAY, &format!("the guest answered with an error: {code:?}")),
        (None, _) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest did not answer"),
    }
}

/// The guest is done, so its body lies here: sent in one piece, with its length, instead of in chunks.
async fn whole(response: Response<HyperOutgoingBody>) -> Response<Body> {
    let (parts, mut inner) = response.into_parts();
    let mut ready = VecDeque::new();
    let ended = poll_fn(|context| {
        loop {
            match Pin::new(&mut inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => ready.push_back(frame),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(())),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Ready(Ok(false)),
            }
        }
    })
    .await;
    let body = match ended {
        Ok(true) if ready.iter().all(Frame::is_data) => Body::Whole(join(ready)),
        Ok(_) => Body::Streamed(Streamed { ready, inner, running: None }),
        // The guest promised another length than it wrote.
        Err(()) => return plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest broke off its answer"),
    };
    Response::from_parts(parts, body)
}

fn join(mut frames: VecDeque<Frame<Bytes>>) -> Option<Bytes> {
    let mut pieces = frames.drain(..).filter_map(|frame| frame.into_data().ok());
    let first = pieces.next()?;
    let Some(second) = pieces.next() else { return Some(first) };
    let mut all = BytesMut::from(first);
    all.extend_from_slice(&second);
    pieces.for_each(|piece| all.extend_from_slice(&piece));
    Some(all.freeze())
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(Bytes::from(format!("{text}\n")))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The body of a response.
pub enum Body {
    Whole(Option<Bytes>),
    Streamed(Streamed),
}

/// Comes out of a guest that may still be at work.
pub struct Streamed {
    ready: VecDeque<Frame<Bytes>>,
    inner: HyperOutgoingBody,
    running: Option<Running>,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(u64::MAX))),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}

impl Streamed {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(running) = &mut self.running {
            match running.poll(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.running = None,
                Poll::Ready(Err(failure)) => {
                    running.failed(&failure);
                    self.running = None;
                    return Poll::Ready(Some(Err(Error::Truncated)));
                }
            }
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if frame.is_none()
            && let Some(running) = self.running.take()
        {
            tokio::spawn(finish(running));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|_| Error::Truncated)))
    }
}

/// A guest may go on after its answer, within the same bounds.
async fn finish(mut running: Running) {
    if let Err(failure) = poll_fn(|context| running.poll(context)).await {
        running.failed(&failure);
    }
}
