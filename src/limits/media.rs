//! Labels of inline images in a client's body, by the first bytes of each: clients label images as they like (`image/jpg`, another
//! type, nothing), and every vendor refuses a label that does not fit. Changes nothing else, and no image without known first bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::path::Path;
use super::tree::Node;
use crate::domain::image_type::image_type;

/// Base64 letters that hold the first bytes of an image.
const HEAD_LETTERS: usize = 32;
/// Objects with a label and data.
const SOURCES: [&str; 2] = [
    "messages[].content[].source",
    "messages[].content[].content[].source",
];
/// Data URLs.
const URLS: [&str; 3] = [
    "messages[].content[].image_url.url",
    "input[].content[].image_url",
    "input[].output[].image_url",
];

/// The body with the right labels, and the paths of those that changed; `None` if all fit.
pub fn relabel(text: &str) -> Option<(String, Vec<String>)> {
    let mut body = Node::read(text)?;
    let mut changed = Vec::new();
    for place in SOURCES {
        let path = Path::parse(place);
        for trail in path.trails(&body) {
            let label = body.at(&trail).and_then(source_label);
            if let (Some(label), Some(source)) = (label, body.change(&trail)) {
                source.set_member("media_type", Node::text_value(label));
                changed.push(format!("{}.media_type", path.dotted()));
            }
        }
    }
    for place in URLS {
        let path = Path::parse(place);
        for trail in path.trails(&body) {
            let url = body.at(&trail).and_then(labeled_url);
            if let (Some(url), Some(node)) = (url, body.change(&trail)) {
                node.replace(Node::text_value(&url));
                changed.push(path.dotted());
            }
        }
    }
    changed.dedup();
    let is_changed = !changed.is_empty();
    is_changed.then(|| {
        let mut out = String::with_capacity(text.len());
        body.write(&mut out);
        (out, changed)
    })
}

/// Media type of an image by its first bytes in base64.
pub(super) fn type_of(data: &str) -> Option<&'static str> {
    let head = data.get(..HEAD_LETTERS).unwrap_or(data);
    image_type(&STANDARD.decode(head).ok()?)
}

/// Label in place of the one that a source has, if it has another.
fn source_label(source: &Node<'_>) -> Option<&'static str> {
    let label = source.member("media_type").and_then(Node::string);
    right_label(
        &label.unwrap_or_default(),
        &source.member("data")?.string()?,
    )
}

/// A data URL with another label, if its own is wrong.
fn labeled_url(url: &Node<'_>) -> Option<String> {
    let url = url.string()?;
    let (label, data) = url.strip_prefix("data:")?.split_once(',')?;
    let end = label.find(';').unwrap_or(label.len());
    let right = right_label(&label[..end], data)?;
    Some(format!("data:{right}{},{data}", &label[end..]))
}

fn right_label(label: &str, data: &str) -> Option<&'static str> {
    let alias = || (label == "image/jpg").then_some("image/jpeg");
    let right = type_of(data).or_else(alias)?;
    (right != label).then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////";

    #[test]
    fn label_that_does_not_fit_the_bytes_is_replaced_and_the_rest_stays() {
        for (label, named) in [
            ("image/png", true),
            ("", true),
            ("image/jpg", true),
            ("image/jpeg", false),
        ] {
            let body = |label: &str| {
                format!(
                    r#"{{"messages":[{{"content" : [{{"type":"image","source":{{"type":"base64","media_type":"{label}","data":"{JPEG}"}}}}]}}],"x":1.0}}"#
                )
            };
            let right = relabel(&body(label));
            let Some((right, paths)) = right.filter(|_| named) else {
                assert!(!named, "{label}");
                continue;
            };
            assert_eq!(paths, ["messages.content.source.media_type"]);
            let compact = |text: String| text.replace("\"content\" : [", "\"content\":[");
            assert_eq!(right, compact(body("image/jpeg")));
        }
    }

    #[test]
    fn label_in_a_data_url_is_that_of_the_bytes() {
        let chat = |label: &str| {
            format!(
                r#"{{"messages":[{{"content":[{{"image_url":{{"url":"data:{label};base64,{JPEG}"}}}}]}}]}}"#
            )
        };
        let (right, paths) = relabel(&chat("image/webp")).expect("a change");
        assert_eq!(
            (right, paths[0].as_str()),
            (chat("image/jpeg"), "messages.content.image_url.url")
        );
        for unchanged in [
            chat("image/jpeg"),
            r#"{"messages":[{"content":[{"image_url":{"url":"https://a/b.png"}}]}]}"#.to_owned(),
            r#"{"messages":[{"content":[{"image_url":{"url":"data:image/x;base64,AAAA"}}]}]}"#
                .to_owned(),
            r#"{"input":"go"}"#.to_owned(),
            "no JSON".to_owned(),
        ] {
            assert_eq!(relabel(&unchanged), None, "{unchanged}");
        }
    }
}
