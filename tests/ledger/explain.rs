//! `gatekeeper requests explain`: the sum of a record in words, from the running server.

use serde_json::json;

use crate::harness::hello;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

#[test]
fn a_request_is_explained_from_its_record() {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20));
    let mut gatekeeper = Gatekeeper::before(&upstream).starts();
    let team = gatekeeper.team_with_budget("eng", "1");
    let key = gatekeeper.key_of(&team);
    let answer = gatekeeper.user(&key).chat(&hello("m-small"));
    let id = answer.expects(200).header("x-gatekeeper-request-id").expect("an id").to_owned();
    let correction = json!({"request": id, "amount": "-0.00001", "reason": "goodwill"});
    gatekeeper.admin().post("/v1/ledger/corrections", &correction).expects(201);
    let config = gatekeeper.config.to_str().expect("a path");
    let explain = |id: &str| gatekeeper.runs(&["requests", "explain", id, "--config", config]);
    let told = explain(&id);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    for expected in [
        "eng-key (key_",
        "10 × $0.000001",
        "= $0.00001\n",
        "20 × $0.000005",
        "= $0.0001\n",
        "= $0.00011\n",
        "goodwill",
        "= $-0.00001\n",
        "net cost",
        "of team eng: $1 total, blocks",
        "with at most 50 output tokens",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let unknown = explain(&format!("req_{}", "0".repeat(26)));
    let why = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && why.contains("there is no request"), "{why}");
    let wrong = explain("nonsense");
    assert_eq!(wrong.status.code(), Some(2));
}
