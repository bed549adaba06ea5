//! `/v1/backup`: a backup as a stream of bytes; `/v1/restore/accept`: the end of the degraded state after a restore.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::json;

use crate::auth::role::may;
use crate::dialect::Dialect;
use crate::domain::api_error::ApiError;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;
use crate::server::respond;
use crate::server::worker::Worker;
use crate::store::backup::create::BackupReader;

/// `POST /v1/backup`
pub(crate) async fn take(request: HttpRequest, payload: Payload) -> HttpResponse {
    match copy(&request, payload).await {
        Ok(reader) => stream(reader),
        Err(error) => respond::refusal(Worker::of(&request), Dialect::Chat, &error),
    }
}

async fn copy(request: &HttpRequest, payload: Payload) -> Result<BackupReader, ApiError> {
    let id = Worker::of(request).gateway.next_id();
    let call = ApiCall::read(request, payload, id).await?;
    let grant = call.grant(may::TakeBackup)?;
    call.control.backup(&grant, env!("CARGO_PKG_VERSION")).await
}

/// Each piece is read from the disk outside the thread that serves requests, once the client has taken the one before.
fn stream(reader: BackupReader) -> HttpResponse {
    let bytes = reader.facts.total_bytes();
    let pieces = unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let read = tokio::task::spawn_blocking(move || (reader.next_chunk(), reader)).await;
        match read {
            Ok((Ok(Some(chunk)), reader)) => Some((Ok(Bytes::from(chunk)), Some(reader))),
            Ok((Ok(None), _)) => None,
            Ok((Err(error), _)) => Some((Err(error), None)),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .no_chunking(bytes)
        .streaming(pieces)
}

/// `POST /v1/restore/accept`
pub(crate) async fn accept(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::AcceptRestore)?;
    let backup_ms = call.control.accept_restore(&grant).await?;
    ApiReply::ok(&json!({"object": "restore_acceptance", "backup": rfc3339(backup_ms)}))
}
