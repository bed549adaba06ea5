//! Images and documents of a Converse request: inline bytes with Converse's format name, documents
//! with a name that Converse accepts. Must never use one document name twice in a request.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::conversation::{Media, Source};

/// Converse's limit.
const NAME_CHARS_MAX: usize = 200;

#[derive(Serialize)]
pub(super) struct Image<'a> {
    format: &'a str,
    source: MediaSource<'a>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    name: String,
    source: MediaSource<'a>,
}

#[derive(Serialize)]
struct MediaSource<'a> {
    /// base64
    bytes: Cow<'a, str>,
}

impl<'a> Image<'a> {
    /// `None` for an image by URL or file id, which the capability filter refused.
    pub(super) fn of(media: &'a Media) -> Option<Image<'a>> {
        let Source::Base64(data) = &media.source else {
            return None;
        };
        Some(Image {
            format: image_format(&media.mime, data),
            source: MediaSource {
                bytes: Cow::Borrowed(data),
            },
        })
    }
}

/// Format from the MIME type, else from the magic number of the data.
fn image_format<'a>(mime: &'a str, data: &str) -> &'a str {
    match mime.strip_prefix("image/") {
        Some("jpg") => "jpeg",
        // Converse rejects a format that it does not know
        Some(format) if !format.is_empty() => format,
        _ if data.starts_with("/9j/") => "jpeg",
        _ if data.starts_with("R0lGOD") => "gif",
        _ if data.starts_with("UklGR") => "webp",
        _ => "png",
    }
}

/// Document names in use; Converse requires unique names in a request.
#[derive(Default)]
pub(super) struct DocumentNames(Vec<String>);

impl DocumentNames {
    pub(super) fn document<'a>(&mut self, media: &'a Media) -> Option<Document<'a>> {
        let bytes = match &media.source {
            Source::Base64(data) => Cow::Borrowed(data.as_str()),
            Source::Text(text) if text.is_empty() => return None,
            Source::Text(text) => Cow::Owned(BASE64.encode(text)),
            Source::Url(_) | Source::File(_) => return None,
        };
        let format = if matches!(media.source, Source::Text(_)) {
            "txt"
        } else {
            document_format(&media.mime)
        };
        Some(Document {
            format,
            name: self.unique_name(media.name.as_deref()),
            source: MediaSource { bytes },
        })
    }

    /// Name of letters, digits, single spaces, hyphens, parentheses and brackets; a duplicate gets
    /// a number.
    fn unique_name(&mut self, name: Option<&str>) -> String {
        let is_allowed = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']')
        };
        let plain: String = name
            .unwrap_or_default()
            .chars()
            .map(|letter| if is_allowed(letter) { letter } else { ' ' })
            .collect();
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain: String = plain.chars().take(NAME_CHARS_MAX - 8).collect();
        let plain = if plain.trim().is_empty() {
            "document"
        } else {
            plain.trim()
        };
        let mut unique = plain.to_owned();
        let mut number = 1;
        while self.0.contains(&unique) {
            number += 1;
            unique = format!("{plain} ({number})");
        }
        self.0.push(unique.clone());
        unique
    }
}

fn document_format(mime: &str) -> &str {
    match mime.split(';').next().unwrap_or_default().trim() {
        "application/pdf" | "" => "pdf",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        // Converse rejects a format that it does not know
        other => other.rsplit('/').next().unwrap_or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converse_document_name_is_sanitized_and_unique() {
        let mut names = DocumentNames::default();
        for (name, expected) in [
            (Some("a_b.pdf"), "a b pdf"),
            (Some("a  b\tpdf"), "a b pdf (2)"),
            (Some("(x) [y]-z"), "(x) [y]-z"),
            (Some("\u{65e5}\u{672c}"), "document"),
            (None, "document (2)"),
            (Some(""), "document (3)"),
        ] {
            assert_eq!(names.unique_name(name), expected, "{name:?}");
        }
        assert!(names.unique_name(Some(&"x ".repeat(500))).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn converse_media_format_is_read_from_mime_or_magic_number() {
        for (mime, data, expected) in [
            ("image/png", "", "png"),
            ("image/jpeg", "", "jpeg"),
            ("image/bmp", "", "bmp"),
            ("", "/9j/4AAQ", "jpeg"),
            ("", "UklGRgAA", "webp"),
            ("", "R0lGODlh", "gif"),
            ("application/octet-stream", "iVBORw0KGgo", "png"),
        ] {
            assert_eq!(image_format(mime, data), expected, "{mime}");
        }
        for (mime, expected) in [
            ("application/pdf", "pdf"),
            ("text/csv; charset=utf-8", "csv"),
            ("x/odt", "odt"),
        ] {
            assert_eq!(document_format(mime), expected);
        }
        let text = Media {
            mime: "text/plain".into(),
            source: Source::Text("hi".into()),
            name: None,
        };
        let document = DocumentNames::default()
            .document(&text)
            .expect("a document");
        assert_eq!((document.format, &*document.source.bytes), ("txt", "aGk="));
    }
}
