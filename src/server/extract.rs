//! From HTTP to a call: who is at the other end, which credential it shows, and its body within bounds of size and time.

use std::any::Any;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use rustix::net::sockopt::set_tcp_user_timeout;

use crate::auth::bearer;
use crate::auth::role::Actor;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::server::api;

/// A body up to this is read before its key is looked at: it is there already.
const SHORT_BODY_BYTES: u64 = 64 * 1024;

/// The peer of a connection that came through the local admin socket.
#[derive(Clone, Copy, Debug)]
struct LocalPeer {
    uid: u32,
}

/// Remembers the peer's user where the connection is local: the kernel says who it is. Over the network, a client that takes
/// nothing for `stall_ms` loses its connection.
pub(super) fn note_peer(connection: &dyn Any, data: &mut Extensions, stall_ms: u64) {
    if let Some(stream) = connection.downcast_ref::<UnixStream>()
        && let Ok(peer) = stream.peer_cred()
    {
        data.insert(LocalPeer { uid: peer.uid() });
    }
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) =
            set_tcp_user_timeout(stream, u32::try_from(stall_ms).unwrap_or(u32::MAX))
    {
        tracing::debug!("a connection has no limit for a client that reads nothing: {error}");
    }
}

/// The actor at the local door: root and the service's own user act as owner.
pub(super) fn local_actor(request: &HttpRequest) -> Option<Actor> {
    let peer = request.conn_data::<LocalPeer>()?;
    let own = rustix::process::geteuid().as_raw();
    (peer.uid == 0 || peer.uid == own).then_some(Actor::Local { uid: peer.uid })
}

/// The credential that the client shows, in whichever of the three headers.
pub(super) fn credential(request: &HttpRequest) -> Option<String> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    bearer::credential(
        header("authorization"),
        header("x-api-key"),
        header("api-key"),
    )
    .map(str::to_owned)
}

/// The length of the body as its head says it.
fn announced(request: &HttpRequest) -> Option<u64> {
    request
        .headers()
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Whether the body may be so long that nobody should be waited for who has not shown a key.
pub(super) fn may_be_long(request: &HttpRequest) -> bool {
    announced(request).is_none_or(|bytes| bytes > SHORT_BODY_BYTES)
}

/// The whole body, or why it is not taken. One that is announced too long is not waited for.
pub(super) async fn body(
    request: &HttpRequest,
    mut payload: Payload,
    bytes_max: usize,
    timeout_ms: u64,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        // the control plane's own limit is not a setting
        let remedy = if bytes_max == api::BODY_BYTES_MAX {
            ""
        } else {
            ", or raise `body_mb` under [limits]"
        };
        let message = format!("the body is longer than {bytes_max} bytes; send less{remedy}");
        ApiError::new(ErrorCode::RequestTooLarge, message)
    };
    if announced(request).is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut whole = BytesMut::new();
        let mut only: Option<Bytes> = None;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::invalid(format!("the body could not be read: {error}"))
            })?;
            if whole.len() + only.as_ref().map_or(0, Bytes::len) + chunk.len() > bytes_max {
                return Err(too_large());
            }
            match only.take() {
                None if whole.is_empty() => only = Some(chunk),
                None => whole.extend_from_slice(&chunk),
                Some(first) => {
                    whole.extend_from_slice(&first);
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(only.unwrap_or_else(|| whole.freeze()))
    };
    match tokio::time::timeout(Duration::from_millis(timeout_ms), read).await {
        Ok(body) => body,
        Err(_) => Err(ApiError::invalid(format!(
            "the body was not whole after {} s; send it faster",
            timeout_ms / 1_000
        ))),
    }
}
