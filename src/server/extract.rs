//! HTTP to typed input: the peer of a connection, the credential, the actor of a control-plane call, and the body within limits
//! of size and time. Errors are `ApiError`s; renders no response.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::rt::net::{TcpStream, UnixStream};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::time::error::Elapsed;

use crate::auth::role::Actor;
use crate::auth::{self, bearer};
use crate::compression::BodyDecoder;
use crate::control::CallOrigin;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::RequestId;
use crate::domain::sign_in::Session;
use crate::server::connection::Watch;
use crate::server::cookie;
use crate::server::headers::Head;
pub(super) use crate::server::headers::header;
use crate::server::surface::{Encrypted, Surface};
use crate::server::worker::Worker;

/// A body up to this length is read before its credential is checked.
const SHORT_BODY_BYTES: u64 = 64 * 1024;

/// Peer of a connection through the local admin socket.
#[derive(Clone, Copy, Debug)]
struct LocalPeer {
    uid: u32,
}

/// Body of a request as it comes.
pub(super) trait Chunks: Stream<Item = Result<Bytes, PayloadError>> + Unpin {}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Chunks for S {}

/// Limits of a body, and the setting that raises the size limit.
#[derive(Clone, Copy)]
pub(super) struct BodyLimits {
    pub bytes_max: usize,
    pub timeout_ms: u64,
    /// `None`: the size limit is fixed
    pub setting: Option<&'static str>,
}

/// On a new connection: records the peer's uid, as the kernel reports it, for the local socket, and the listener's surface; for
/// TCP, sets the time after which a client that reads nothing loses its connection.
pub(super) fn note_peer(
    connection: &dyn Any,
    data: &mut Extensions,
    surface: Surface,
    stall_ms: u64,
) {
    data.insert(surface);
    if let Some(stream) = connection.downcast_ref::<UnixStream>()
        && let Ok(peer) = stream.peer_cred()
    {
        data.insert(LocalPeer { uid: peer.uid() });
    }
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    if tls.is_some() {
        data.insert(Encrypted);
    }
    let tcp = tls.map(|stream| stream.get_ref().0);
    if let Some(stream) = tcp.or(connection.downcast_ref::<TcpStream>())
        && let Err(error) =
            set_tcp_user_timeout(stream, u32::try_from(stall_ms).unwrap_or(u32::MAX))
    {
        tracing::debug!(%error, "failed to limit the time that a client may read nothing");
    }
}

/// True on the listener that only administrators can reach.
pub(super) fn is_on_admin_listener(request: &HttpRequest) -> bool {
    request.conn_data::<Surface>() == Some(&Surface::Administration)
}

/// Address of the client, `None` on the local socket: the peer, or behind trusted proxies the last address in `x-forwarded-for` that is not one of them.
pub(super) fn client_address(request: &impl Head) -> Option<IpAddr> {
    let trusted = &request.worker().trusted_proxies;
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
    let peer = request.peer_addr()?.ip().to_canonical();
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let headers = request.headers().get_all("x-forwarded-for");
    let texts: Vec<&str> = headers.filter_map(|value| value.to_str().ok()).collect();
    let forwarded = texts.iter().flat_map(|text| text.split(',')).rev();
    let mut nearest = peer;
    for text in forwarded {
        // an invalid entry ends the list: nothing before it was written by a trusted proxy
        let Ok(address) = text.trim().parse::<IpAddr>() else {
            break;
        };
        nearest = address.to_canonical();
        if !is_trusted(&nearest) {
            break;
        }
    }
    Some(nearest)
}

/// Actor of a control-plane call: the peer of the local socket, else the holder of an administrative key, else the user of a
/// session, which is returned too.
pub(super) fn actor(request: &HttpRequest) -> Result<(Actor, Option<Session>), ApiError> {
    if let Some(actor) = local_actor(request) {
        return Ok((actor, None));
    }
    let credential = credential(request);
    if credential.is_none()
        && let Some((actor, session)) = cookie::session(request)?
    {
        return Ok((actor, Some(session)));
    }
    let worker = Worker::of(request);
    let actor = auth::authenticate_admin(
        &worker.directory.load(),
        credential.as_deref(),
        worker.time.now_ms(),
    )
    .inspect_err(|error| {
        tracing::debug!(client = ?client_address(request), %error, "control-plane call refused");
    })?;
    Ok((actor, None))
}

/// Peer of the local admin socket, if it is root or the service's own user.
fn local_actor(request: &HttpRequest) -> Option<Actor> {
    let peer = request.conn_data::<LocalPeer>()?;
    let own_uid = rustix::process::geteuid().as_raw();
    (peer.uid == 0 || peer.uid == own_uid).then_some(Actor::Local { uid: peer.uid })
}

/// Origin of a control-plane call, for the audit log.
pub(super) fn origin(request: &HttpRequest, id: RequestId) -> CallOrigin {
    CallOrigin {
        address: client_address(request).map(|address| address.to_string()),
        request: Some(id),
    }
}

/// Credential of the client, from any of the three headers.
pub(super) fn credential(request: &impl Head) -> Option<String> {
    bearer::credential(|name| header(request, name)).map(str::to_owned)
}

/// `content-length` of the request.
fn content_length(request: &impl Head) -> Option<u64> {
    let length = request.headers().get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// The announced length, if any, of a body of great or unknown length: the call is then looked at before the body is awaited.
pub(super) fn long_body(request: &impl Head) -> Option<Option<u64>> {
    let is_coded = request.headers().contains_key(CONTENT_ENCODING);
    match content_length(request) {
        // a short body may stand for a long one
        announced if is_coded => Some(announced),
        Some(bytes) if bytes <= SHORT_BODY_BYTES => None,
        None if request.headers().contains_key(TRANSFER_ENCODING) => Some(None),
        None => None,
        announced => Some(announced),
    }
}

/// Refuses a body that is announced as too long.
pub(super) fn check_length(announced: Option<u64>, limits: BodyLimits) -> Result<(), ApiError> {
    match announced {
        Some(bytes) if bytes > limits.bytes_max as u64 => Err(too_large(limits)),
        _ => Ok(()),
    }
}

/// Reads the body, decoded where the client compressed it. A body that is announced as too long is refused without being read.
/// `grow` is told the bytes so far, before they are kept.
pub(super) async fn body(
    request: &impl Head,
    payload: impl Chunks,
    limits: BodyLimits,
    grow: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    check_length(content_length(request), limits)?;
    let decoder = decoder(request)?;
    let timeout = Duration::from_millis(limits.timeout_ms);
    let read = async {
        match decoder {
            Some(decoder) => read_coded(payload, limits, decoder, grow).await,
            None => read(payload, limits, grow).await,
        }
    };
    let watch = request.conn_data::<Rc<Watch>>().map(Rc::as_ref);
    match within(timeout, watch, read).await {
        Ok(body) => {
            if let (Ok(_), Some(watch)) = (&body, watch) {
                watch.body_came();
            }
            body
        }
        Err(_) => Err(ApiError::invalid(format!(
            "incomplete body after {} s; send it faster",
            limits.timeout_ms / 1_000
        ))),
    }
}

/// Waits for a future no longer than `timeout`. The timer starts with the second wait: the rest of what was received with the head
/// is handed on between the two, and most bodies are in it. The first wait is not heard by what it waits for, because the watch of the
/// connection sees to the second one: else each body would wake its connection once more, for nothing.
async fn within<F: Future>(
    timeout: Duration,
    watch: Option<&Watch>,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut waited = false;
    let early = poll_fn(|context| {
        let is_first = !std::mem::replace(&mut waited, true);
        let waker = match watch {
            Some(_) if is_first => Waker::noop(),
            _ => context.waker(),
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        if let Some(watch) = watch.filter(|_| !is_first) {
            watch.note_poll();
        }
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if !is_first => Poll::Ready(None),
            Poll::Pending => {
                match watch {
                    Some(watch) => watch.want_poll(),
                    None => waker.wake_by_ref(),
                }
                Poll::Pending
            }
        }
    });
    match early.await {
        Some(output) => Ok(output),
        None => Box::pin(tokio::time::timeout(timeout, future)).await,
    }
}

/// Decoder of a compressed body.
fn decoder(request: &impl Head) -> Result<Option<BodyDecoder>, ApiError> {
    let headers = request.headers();
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let codings: Vec<&str> = headers
        .get_all(CONTENT_ENCODING)
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    BodyDecoder::of(&codings.join(", "))
        .map_err(|error| ApiError::new(ErrorCode::UnsupportedMediaType, error.to_string()))
}

/// Decodes a compressed body as it comes. The limit holds for the decoded bytes; nothing beyond it is decoded.
async fn read_coded(
    mut payload: impl Chunks,
    limits: BodyLimits,
    mut decoder: BodyDecoder,
    mut grow: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ApiError::invalid(format!("failed to read the body: {error}"))
    };
    let mut joined = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        decoder.push(chunk.map_err(|error| unreadable(&error))?);
        while let Some(piece) = decoder.next_piece().map_err(|error| unreadable(&error))? {
            if joined.len() + piece.len() > limits.bytes_max {
                return Err(too_large(limits));
            }
            grow(joined.len() + piece.len())?;
            joined.extend_from_slice(&piece);
            // other requests of the worker wait for no more than a piece
            tokio::task::yield_now().await;
        }
    }
    decoder.finish().map_err(|error| unreadable(&error))?;
    Ok(joined.freeze())
}

/// A body of one chunk is not copied.
async fn read(
    mut payload: impl Chunks,
    limits: BodyLimits,
    mut grow: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    let mut joined = BytesMut::new();
    let mut single: Option<Bytes> = None;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|error| ApiError::invalid(format!("failed to read the body: {error}")))?;
        let read_bytes = joined.len() + single.as_ref().map_or(0, Bytes::len);
        if read_bytes + chunk.len() > limits.bytes_max {
            return Err(too_large(limits));
        }
        grow(read_bytes + chunk.len())?;
        match single.take() {
            None if joined.is_empty() => single = Some(chunk),
            None => joined.extend_from_slice(&chunk),
            Some(first) => {
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&chunk);
            }
        }
    }
    Ok(single.unwrap_or_else(|| joined.freeze()))
}

fn too_large(limits: BodyLimits) -> ApiError {
    let bytes_max = limits.bytes_max;
    let remedy = limits
        .setting
        .map(|setting| format!(", or raise {setting}"))
        .unwrap_or_default();
    let message = format!("body longer than {bytes_max} bytes; send less{remedy}");
    ApiError::new(ErrorCode::RequestTooLarge, message)
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;
    use actix_web::web::Payload;

    use super::*;

    async fn body_of(bytes: usize) -> Result<Bytes, ApiError> {
        let limits = BodyLimits {
            bytes_max: 8,
            timeout_ms: 1_000,
            setting: Some("`body_mb` under [limits]"),
        };
        let (request, mut payload) = TestRequest::post()
            .set_payload(vec![b' '; bytes])
            .to_http_parts();
        let payload = Payload::from_request(&request, &mut payload)
            .await
            .expect("a payload");
        body(&request, payload, limits, |_| Ok(())).await
    }

    #[actix_web::test]
    async fn body_over_limit_is_refused_with_the_setting_that_raises_it() {
        assert_eq!(body_of(8).await.expect("within the limit").len(), 8);
        let error = body_of(9).await.expect_err("over the limit");
        assert_eq!(error.code, ErrorCode::RequestTooLarge);
        assert_eq!(
            error.message,
            "body longer than 8 bytes; send less, or raise `body_mb` under [limits]"
        );
    }
}
