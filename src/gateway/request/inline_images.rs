//! Puts images themselves in the place of their addresses, for vendors that take no addresses, where the operator lets the
//! gateway fetch them. Happens before anything is held, so that what they cost is reckoned like that of any other image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::IMAGES_MAX;
use crate::conversation::{ChatRequest, Content, ContentBlock, Media, Source};
use crate::domain::api_error::ApiError;
use crate::upstream::Fetcher;

/// Fetches every image of the ask that is named by its address.
pub(crate) async fn images(ask: &mut ChatRequest, fetcher: &Fetcher) -> Result<(), ApiError> {
    let mut fetched = 0;
    for block in ask.turns.iter_mut().flat_map(|turn| &mut turn.blocks) {
        let inner = match &mut block.content {
            Content::ToolResult(result) => result.blocks.as_mut_slice(),
            _ => std::slice::from_mut(block),
        };
        for media in inner.iter_mut().filter_map(remote) {
            fetched += 1;
            if fetched > IMAGES_MAX {
                return Err(refused(&format!(
                    "more than {IMAGES_MAX} images by URL; send the images themselves, in base64"
                )));
            }
            fetch(media, fetcher).await?;
        }
    }
    Ok(())
}

fn remote(block: &mut ContentBlock) -> Option<&mut Media> {
    match &mut block.content {
        Content::Image(media) if matches!(media.source, Source::Url(_)) => Some(media),
        _ => None,
    }
}

async fn fetch(media: &mut Media, fetcher: &Fetcher) -> Result<(), ApiError> {
    let Source::Url(url) = &media.source else {
        return Ok(());
    };
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(refused(
            "an image's URL must begin with https:// or http://",
        ));
    }
    let bytes = fetcher
        .fetch(url)
        .await
        .map_err(|failed| refused(&format!("an image could not be fetched: {failed}")))?;
    let mime = kind(&bytes)
        .ok_or_else(|| refused("what an image's URL leads to is no PNG, JPEG, GIF or WebP"))?;
    *media = Media {
        mime: mime.to_owned(),
        source: Source::Base64(STANDARD.encode(&bytes)),
        name: media.name.take(),
    };
    Ok(())
}

fn refused(what: &str) -> ApiError {
    ApiError::invalid(what).with_param("messages")
}

/// What the bytes are, whatever a server calls them.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn e22_an_image_is_what_its_bytes_say() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0....", Some("image/jpeg")),
            (b"GIF89a....", Some("image/gif")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"<html>", None),
            (b"RIFF\x10\0\0\0WAVE", None),
            (b"", None),
        ] {
            assert_eq!(kind(bytes), expected);
        }
    }
}
