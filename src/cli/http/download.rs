//! Download of a large answer into a new file, in constant memory. Without a deadline for the whole: the connection ends it.

use std::path::Path;

use tokio::fs::OpenOptions;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{CallError, RESPONSE_BYTES_MAX, Request};

/// Result of a download.
#[derive(Debug)]
pub enum Download {
    /// bytes written and synced
    Complete(u64),
    /// status and body of another answer than 200
    Refused(u16, String),
}

/// Sends the request and writes the body of a 200 to the file.
pub async fn download<S>(
    mut stream: S,
    request: Request<'_>,
    file: &Path,
) -> Result<Download, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.head().as_bytes()).await?;
    stream.flush().await?;
    let mut reader = BufReader::new(stream);
    let (status, length) = read_head(&mut reader).await?;
    if status != 200 {
        let mut text = String::new();
        let length = length.unwrap_or(RESPONSE_BYTES_MAX).min(RESPONSE_BYTES_MAX);
        reader.take(length).read_to_string(&mut text).await?;
        return Ok(Download::Refused(status, text));
    }
    let length = length.ok_or(CallError::InvalidResponse("no length"))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut written = options.open(file).await?;
    let copied = tokio::io::copy(&mut reader.take(length), &mut written).await?;
    if copied < length {
        return Err(CallError::InvalidResponse("body cut off"));
    }
    written.sync_all().await?;
    Ok(Download::Complete(copied))
}

/// Status and `content-length` of the answer.
async fn read_head<S>(reader: &mut BufReader<S>) -> Result<(u16, Option<u64>), CallError>
where
    S: AsyncRead + Unpin,
{
    let (mut status, mut length) = (None, None);
    loop {
        let mut line = String::new();
        reader.take(64 * 1024).read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = line.get(9..12).and_then(|digits| digits.parse().ok());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
    Ok((
        status.ok_or(CallError::InvalidResponse("no status"))?,
        length,
    ))
}
