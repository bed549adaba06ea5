//! Page at `/` for a person with a browser: base URLs, how to get a key, links. One constant without scripts or external
//! resources; it contains nothing of the configuration and nothing of the request.

use actix_web::HttpResponse;

const PAGE: &str = include_str!("../../assets/index.html");
/// Allows the page's own style sheet, by its hash, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'sha256-bDwkjsFNErQ+uxQmgyQX4+vPDqszJg+o+wKTWRLG5PI='; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("content-security-policy", POLICY))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header(("cache-control", "no-cache"))
        .body(PAGE)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn home_page_policy_allows_its_own_style_sheet() {
        let (_, rest) = PAGE.split_once("<style>").expect("a style sheet");
        let (style, rest) = rest.split_once("</style>").expect("its end");
        assert!(!rest.contains("<style"), "one style sheet");
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn home_page_loads_nothing() {
        for word in [
            "<script",
            "src=",
            "@import",
            "url(",
            "<link",
            "style=",
            "href=\"http",
        ] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
