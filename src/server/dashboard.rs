//! Files of the dashboard, embedded in the binary: one HTML page below `/ui/`, its scripts and styles below
//! `/ui/assets/HASH/`, where HASH is that of their content. They need no key and contain nothing of the instance; whatever a
//! page shows, it reads through the API.

use std::sync::LazyLock;

use actix_web::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use sha2::{Digest, Sha256};

use crate::compression::embedded_text;
use crate::server::cookie;

/// Headers of every page; scripts, styles and calls only from this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
/// A year.
const HSTS: &str = "max-age=31536000";
const HASH_CHARS: usize = 16;

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!(env!("OUT_DIR"), "/dashboard/", $name, ".gz"))),)*]
    };
}

/// Scripts and styles by path, compressed. The test compares the list with the folder.
const FILES: &[(&str, &[u8])] = files! {
    "access.js" "api.js" "captures.js" "chart.js" "dashboard.css" "dom.js" "format.js" "lookup.js" "main.js" "metrics.js" "names.js"
    "pages/audit.js" "pages/first.js" "pages/instance.js" "pages/keys.js" "pages/me.js" "pages/models.js" "pages/overview.js"
    "pages/preferences.js" "pages/provider.js" "pages/recent.js" "pages/requests.js" "pages/routes.js" "pages/settings.js"
    "pages/teams.js" "pages/try.js" "pages/usage.js" "parts.js" "router.js" "shell.js" "snippets.js" "table.js" "theme.js" "tokens.css"
};
const PAGE: &str = include_str!("../../assets/dashboard/index.html");

static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::new);

/// The page with its links, which is short, and every file whole and compressed.
struct Assets {
    hash: String,
    page: Body,
    files: Vec<(&'static str, Body)>,
}

struct Body {
    identity: Bytes,
    gzip: Bytes,
}

impl Assets {
    fn new() -> Assets {
        let mut hasher = Sha256::new();
        for (name, content) in FILES {
            hasher.update(name);
            hasher.update(content);
        }
        let mut hash: String = hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hash.truncate(HASH_CHARS);
        Assets {
            page: Body {
                identity: PAGE.replace("{{hash}}", &hash).into(),
                gzip: Bytes::new(),
            },
            files: FILES
                .iter()
                .map(|(name, gzip)| (*name, Body::new(gzip)))
                .collect(),
            hash,
        }
    }

    fn file(&self, name: &str) -> Option<&Body> {
        let found = self.files.iter().find(|(known, _)| *known == name)?;
        Some(&found.1)
    }
}

impl Body {
    fn new(gzip: &'static [u8]) -> Body {
        Body {
            identity: embedded_text(gzip).into(),
            gzip: Bytes::from_static(gzip),
        }
    }

    fn respond(
        &self,
        request: &HttpRequest,
        media: &'static str,
        cache: &'static str,
    ) -> HttpResponse {
        let compressed = accepts(request, ACCEPT_ENCODING, "gzip") && !self.gzip.is_empty();
        let mut response = HttpResponse::Ok();
        add_headers(request, &mut response);
        response
            .content_type(media)
            .insert_header(("cache-control", cache))
            .insert_header(("vary", "accept-encoding"));
        if compressed {
            response.insert_header(("content-encoding", "gzip"));
            return response.body(self.gzip.clone());
        }
        response.body(self.identity.clone())
    }
}

/// Headers of every page. Over TLS browsers are told to come back over TLS only; a client on this machine is not, because that would
/// cover every other server of it.
pub(super) fn add_headers(request: &HttpRequest, response: &mut HttpResponseBuilder) {
    response
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("content-security-policy", POLICY));
    if cookie::is_secure(request) && !cookie::is_local(request) {
        response.insert_header(("strict-transport-security", HSTS));
    }
}

/// `GET /ui/…`: the one page; its script reads the address.
pub(super) async fn page(request: HttpRequest) -> HttpResponse {
    ASSETS
        .page
        .respond(&request, "text/html; charset=utf-8", "no-cache")
}

/// `GET /ui/assets/HASH/FILE`. A page of an earlier build finds no file and is loaded anew.
pub(super) async fn asset(request: HttpRequest) -> HttpResponse {
    let path = request.match_info();
    let (hash, name) = (path.query("hash"), path.query("file"));
    let media = if name.ends_with(".css") {
        "text/css; charset=utf-8"
    } else {
        "text/javascript; charset=utf-8"
    };
    match ASSETS.file(name).filter(|_| hash == ASSETS.hash) {
        Some(file) => file.respond(&request, media, "public, max-age=31536000, immutable"),
        None => HttpResponse::NotFound().finish(),
    }
}

/// `GET /`: a browser is sent to the dashboard, other clients learn where things are.
pub(super) async fn home(request: HttpRequest) -> HttpResponse {
    if accepts(&request, ACCEPT, "text/html") {
        return HttpResponse::SeeOther()
            .insert_header(("location", "/ui/"))
            .insert_header(("vary", "accept"))
            .finish();
    }
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("vary", "accept"))
        .body("Gatekeeper\nOpenAI base URL: /v1\nAnthropic base URL: /\ndashboard: /ui/\n")
}

fn accepts(request: &HttpRequest, header: HeaderName, word: &str) -> bool {
    let values = request.headers().get_all(header);
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            part.split(';')
                .next()
                .is_some_and(|name| name.trim() == word)
                && !part.contains("q=0;")
                && !part.ends_with("q=0")
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Whole size of all files, uncompressed.
    const ALL_MAX: usize = 450 * 1024;
    /// Page, styles and scripts that the overview loads.
    const FIRST_MAX: usize = 150 * 1024;
    const PAGE_MAX: usize = 40 * 1024;

    fn files_of(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder)
            .expect("the folder can be listed")
            .map(|entry| entry.expect("an entry").path())
            .flat_map(|path| {
                if path.is_dir() {
                    files_of(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn dashboard_file_list_equals_its_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/dashboard");
        let found: BTreeSet<String> = files_of(&folder)
            .iter()
            .map(|path| {
                path.strip_prefix(&folder)
                    .expect("below the folder")
                    .display()
                    .to_string()
            })
            .filter(|name| name != "index.html")
            .collect();
        let listed: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn dashboard_files_stay_within_their_sizes() {
        let size = |wanted: &dyn Fn(&str) -> bool| -> usize {
            FILES
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(_, gzip)| embedded_text(gzip).len())
                .sum()
        };
        assert!(size(&|_| true) + PAGE.len() <= ALL_MAX);
        let first = size(&|name| !name.starts_with("pages/") || name == "pages/overview.js");
        assert!(first + PAGE.len() <= FIRST_MAX, "{first}");
        for (name, gzip) in FILES.iter().filter(|(name, _)| name.starts_with("pages/")) {
            let content = embedded_text(gzip);
            assert!(
                content.len() <= PAGE_MAX,
                "{name} has {} bytes",
                content.len()
            );
        }
    }

    #[test]
    fn dashboard_loads_nothing_from_other_hosts_and_parses_no_markup() {
        let files = FILES
            .iter()
            .map(|(name, gzip)| (*name, embedded_text(gzip)));
        for (name, content) in files.chain([("index.html", PAGE.to_owned())]) {
            for word in [
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "<style",
                "style=\"",
            ] {
                assert!(!content.contains(word), "{name} contains {word}");
            }
        }
    }
}
