//! Bad samples for the rules of `tests/tidy.rs`: each must be reported, and its nearest legal neighbor must not.

use super::{fences, headed, layers, leftovers, registry, vendors};

#[track_caller]
fn assert_faults(faults: Vec<String>, count: usize) {
    assert_eq!(faults.len(), count, "{faults:#?}");
}

#[test]
fn layer_violation_is_reported() {
    assert_faults(
        layers(
            "meter/ledger.rs",
            "use crate::store::log;\nuse crate::domain::money::Money;\nuse crate::meter::window;",
        ),
        0,
    );
    assert_faults(layers("meter/ledger.rs", "use crate::policy::access;"), 1);
    assert_faults(
        layers("store/writer.rs", "fn f() { crate::gateway::handle() }"),
        1,
    );
    assert_faults(
        layers(
            "price/cost.rs",
            "use crate::{domain::money::Money, dialect::{sse, chat}, price::sheet, server};",
        ),
        2,
    );
    assert_faults(
        layers(
            "price/cost.rs",
            "// use crate::server;\nconst A: &str = \"crate::server\"; /* crate::cli /* nested */ crate::cli */",
        ),
        0,
    );
    assert_faults(layers("route/table.rs", "use crate::shiny::New;"), 1);
    assert_faults(layers("route/table.rs", "use crate::*;"), 1);
    assert_faults(layers("shiny/mod.rs", "fn f() {}"), 1);
    assert_faults(layers("route/table.rs", "use super::super::server;"), 1);
    assert_faults(
        layers(
            "main.rs",
            "use gatekeeper::cli;\nfn main() { gatekeeper::nonsense::f() }",
        ),
        1,
    );
    assert_faults(
        layers("cli/mod.rs", "pub(crate) fn f() { crate :: main :: f() }"),
        1,
    );
}

#[test]
fn fence_violation_is_reported() {
    assert_faults(
        fences("gateway/mod.rs", "use actix_web::web;\nuse awc::Client;"),
        2,
    );
    assert_faults(
        fences(
            "server/app.rs",
            "use actix_web::web; // awc\nlet s = \"redb\";",
        ),
        0,
    );
    assert_faults(fences("store/log.rs", "use bincode::serde;"), 1);
    assert_faults(
        fences("store/codec/mod.rs", "use bincode::serde; use redb::Value;"),
        0,
    );
    assert_faults(fences("server/clap.rs", "use clap::Parser;"), 1);
    assert_faults(
        fences(
            "meter/window.rs",
            "let now = std::time::SystemTime::now(); let then = Timestamp::now();",
        ),
        2,
    );
    assert_faults(fences("domain/clock.rs", "use std::time::SystemTime;"), 0);
    assert_faults(
        fences(
            "upstream/client.rs",
            "std::env::var(\"X\"); use std::env::{self, var};",
        ),
        2,
    );
    assert_faults(fences("main.rs", "std::env::var(\"X\");"), 0);
    assert_faults(fences("route/pick.rs", "fn f() { unsafe { g() } }"), 1);
    assert_faults(fences("cache/simd.rs", "fn f() { unsafe { g() } }"), 0);
    assert_faults(
        fences("domain/id.rs", "use serde::Serialize;\nasync fn f() {}"),
        2,
    );
}

#[test]
fn vendor_decision_is_reported() {
    let faults = |path, text| {
        let names = ["openai", "anthropic", "simulator"];
        vendors(path, text, &names, &["openai.com"])
    };
    assert_faults(
        faults(
            "gateway/mod.rs",
            "if provider.name == \"anthropic\" { a() }",
        ),
        1,
    );
    assert_faults(
        faults("route/table.rs", "model.strip_prefix(r\"openai/\")"),
        1,
    );
    assert_faults(
        faults(
            "upstream/client.rs",
            "const URL: &str = \"https://api.openai.com/v1\";",
        ),
        1,
    );
    assert_faults(
        faults("config/resolve.rs", "use crate::provider::anthropic;"),
        1,
    );
    assert_faults(
        faults(
            "server/call.rs",
            "headers.get(\"anthropic-version\") // \"openai\"",
        ),
        0,
    );
    assert_faults(faults("provider/openai.rs", "\"openai\""), 0);
    assert_faults(faults("cli/demo.rs", "\"simulator\""), 0);
    assert_faults(
        faults(
            "price/sheet.rs",
            "#[cfg(test)]\nmod tests { fn f() { find(\"openai\") } }",
        ),
        0,
    );
}

#[test]
fn leftover_is_reported() {
    assert_faults(
        leftovers(
            "a.rs",
            "fn f() { todo!() }\n#[test]\n#[ignore = \"slow\"]\nfn g() { dbg!(1); }",
        ),
        3,
    );
    assert_faults(leftovers("a.rs", "#[allow(dead_code)]\nfn f() {}"), 1);
    assert_faults(
        leftovers(
            "a.rs",
            "#[allow(dead_code, reason = \"read by the next issue\")]\nfn f() {}",
        ),
        0,
    );
    assert_faults(
        leftovers(
            "a.rs",
            "// the protocol's own spelling\n#[allow(non_snake_case)]\nfn f() {}",
        ),
        0,
    );
    assert_faults(leftovers("a.rs", "let s = \"todo!\"; // dbg!"), 0);
    assert_faults(headed("a.rs", "use std::fs;"), 1);
}

#[test]
fn provider_missing_from_registry_is_reported() {
    let entry = "mod openai;\nmod groq;\npub const ALL: &[&Preset] = &[&openai::PRESET];";
    assert_faults(registry(entry, &["openai"]), 0);
    assert_faults(registry(entry, &["openai", "groq"]), 1);
    assert_faults(
        registry("registry!(openai, groq);", &["openai", "groq", "stray"]),
        1,
    );
}
