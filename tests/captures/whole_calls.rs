//! Content of captured calls: nothing while capture is off, whole calls of one key while it is on for that key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{ANSWER, Fixture, PROMPT, answer, chat, events, files_with, flags, request_id};
use crate::harness::instance::text;
use crate::harness::model;
use crate::harness::repetitions;
use crate::harness::script::Script;

#[test]
fn capture_off_leaves_no_text_of_a_call_in_any_file() {
    let mut fixture = Fixture::new();
    let calls = repetitions("GK_CAPTURE_CALLS", 60);
    let user = fixture.gatekeeper.user(&fixture.other);
    for call in 0..calls {
        fixture.upstream.respond_with(match call % 4 {
            0 => Script::json(200, &answer(ANSWER)),
            1 => Script::stream([format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m-small\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{ANSWER}\"}},\"finish_reason\":null}}]}}\n\n"
            )]),
            2 => Script::json(400, &json!({"error": {"message": ANSWER, "type": "invalid"}})),
            _ => Script::closes(),
        });
        let mut body = chat(PROMPT);
        body["stream"] = (call % 4 == 1).into();
        let response = match call % 5 {
            4 => user.messages(&body),
            _ => user.chat(&body),
        };
        assert_eq!(response.header("x-gatekeeper-capture"), None);
    }
    fixture.gatekeeper.stop();
    for canary in [PROMPT, ANSWER] {
        assert_eq!(files_with(&fixture.gatekeeper.data, canary), [""; 0]);
    }
    assert!(!fixture.file().exists(), "capture off creates no file");
    fixture.gatekeeper.start();
}

#[test]
fn capture_on_for_one_key_stores_its_calls_whole_and_no_others() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let before = fixture.chat(&fixture.captured, PROMPT);
    fixture.turn_on();
    let other = fixture.chat(&fixture.other, PROMPT);
    let mut body = chat(PROMPT);
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]);
    let user = fixture.gatekeeper.user(&fixture.captured);
    let unary = user.chat(&body);
    assert_eq!(unary.header("x-gatekeeper-capture"), Some("on"));
    let stored = fixture.stored(&request_id(&unary));
    assert_eq!(stored["request_body"], body.to_string());
    assert_eq!(stored["response_body"], unary.text());
    assert_eq!(
        (&stored["complete"], &stored["status"]),
        (&json!(true), &json!(200))
    );
    assert_eq!(stored["key"], fixture.captured.id);

    fixture.upstream.respond_with(model::with_usage(10, 20));
    let mut streamed = chat(PROMPT);
    streamed["stream"] = true.into();
    let stream = user.open_stream("/v1/chat/completions", &streamed);
    let id = stream
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    assert_eq!(stream.header("x-gatekeeper-capture"), Some("on"));
    let (bytes, _) = stream.read_bytes();
    let stored = fixture.stored(&id);
    assert_eq!(
        stored["response_body"],
        String::from_utf8_lossy(&bytes).as_ref()
    );
    assert_eq!(
        (&stored["stream"], &stored["complete"]),
        (&json!(true), &json!(true))
    );

    for uncaptured in [&before, &other] {
        assert_eq!(uncaptured.header("x-gatekeeper-capture"), None);
        let missing = fixture.capture(&request_id(uncaptured));
        assert!(
            missing
                .assert_status(404)
                .text()
                .contains("capture was off")
        );
        assert!(flags(&fixture, &request_id(uncaptured)).is_empty());
    }
    assert_eq!(flags(&fixture, &id), ["captured"]);
    let shown = fixture.gatekeeper.run(&["requests", "explain", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("captured: prompt capture was on"), "{shown}");
    let listed = fixture.gatekeeper.run(&["requests", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("ok, captured"));
    let shown = fixture.gatekeeper.run(&["captures", "show", &id]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(PROMPT));
    assert_eq!(files_with(&fixture.gatekeeper.data, PROMPT), [""; 0]);
    // one by the API per stored call, two of them missing, one by the command line
    assert_eq!(events(&fixture.admin(), "capture.read").len(), 3);
}

#[test]
fn failed_call_is_captured_with_its_error_and_a_refused_one_is_not() {
    let fixture = Fixture::new();
    fixture.turn_on();
    fixture.upstream.respond_with(Script::closes());
    let failed = fixture.chat(&fixture.captured, PROMPT);
    assert_eq!(failed.status, 502);
    let stored = fixture.stored(&request_id(&failed));
    assert_eq!(
        (&stored["status"], &stored["response_body"]),
        (&json!(502), &json!(failed.text()))
    );
    let user = fixture.gatekeeper.user(&fixture.captured);
    let refused =
        user.chat(&json!({"model": "nothing", "messages": [{"role": "user", "content": PROMPT}]}));
    assert_eq!(refused.status, 404);
    fixture.capture(&request_id(&refused)).assert_status(404);
    assert_eq!(refused.header("x-gatekeeper-capture"), None);
}

#[test]
fn image_above_the_size_is_stored_as_its_hash() {
    let fixture = Fixture::with_setting("[capture]\nimage_kb = 1");
    fixture.turn_on();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let image = |bytes: usize| {
        let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
        image.resize(bytes, 9);
        format!("data:image/png;base64,{}", STANDARD.encode(image))
    };
    let body = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": [
        {"type": "text", "text": PROMPT},
        {"type": "image_url", "image_url": {"url": image(5_000)}},
        {"type": "image_url", "image_url": {"url": image(100)}}]}]});
    let call = fixture.gatekeeper.user(&fixture.captured).chat(&body);
    let stored = fixture.stored(&request_id(call.assert_status(200)));
    let request = text(&stored, "request_body");
    assert!(
        request.contains("(5000 bytes of image/png, not captured)"),
        "{request}"
    );
    assert!(request.contains(PROMPT) && request.contains(&image(100)));
    assert!(!request.contains(&image(5_000)[..200]));
    assert_eq!(stored["media_replaced"], 1);
}

#[test]
fn capture_of_a_team_or_parent_key_includes_the_keys_below_until_it_is_off() {
    let fixture = Fixture::new();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let child = json!({"name": "child", "parent": fixture.captured.id, "models": ["*"]});
    let child = fixture.gatekeeper.key(&child);
    let is_captured = |key| {
        let call = fixture.chat(key, PROMPT);
        call.header("x-gatekeeper-capture").is_some()
    };
    let states = || [&fixture.captured, &child, &fixture.other].map(is_captured);
    assert_eq!(states(), [false, false, false]);
    fixture.turn_on();
    assert_eq!(states(), [true, true, false]);
    let run = |arguments: &[&str]| {
        let output = fixture.gatekeeper.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = run(&["captures", "on", "--team", "eng", "--keep-days", "3"]);
    assert!(
        said.contains("is on: prompts and answers are kept for 3 days"),
        "{said}"
    );
    assert_eq!(states(), [true, true, true]);
    let list = run(&["captures", "list"]);
    assert!(list.contains("7 days") && list.contains("3 days"), "{list}");
    run(&["captures", "off", "--key", "captured"]);
    assert_eq!(states(), [true, true, true]);
    run(&["captures", "off", "--team", "eng"]);
    assert_eq!(states(), [false, false, false]);
    let toggles: Vec<_> = events(&fixture.admin(), "capture.change")
        .iter()
        .map(|event| (text(event, "subject"), event["detail"]["on"]["to"].clone()))
        .collect();
    let (key, team) = (&fixture.captured.id, &fixture.team);
    let expected = [(team, false), (key, false), (team, true), (key, true)];
    assert_eq!(
        toggles,
        expected.map(|(subject, on)| (subject.clone(), json!(on)))
    );
}

#[test]
fn purge_by_request_key_team_and_all_deletes_and_is_audited() {
    let mut fixture = Fixture::new();
    fixture
        .upstream
        .respond_with(Script::json(200, &answer(ANSWER)));
    let team = format!("/v1/teams/{}/capture", fixture.team);
    fixture
        .admin()
        .patch(&team, &json!({"on": true}))
        .assert_status(200);
    let ids: Vec<String> = [
        &fixture.captured,
        &fixture.captured,
        &fixture.other,
        &fixture.captured,
    ]
    .into_iter()
    .map(|key| request_id(fixture.chat(key, PROMPT).assert_status(200)))
    .collect();
    let (key, other) = (&fixture.captured.id, &fixture.other.id);
    let admin = fixture.admin();
    let purge = |path: &str| admin.delete(path).assert_status(200).json()["entries"].clone();
    assert_eq!(purge(&format!("/v1/requests/{}/capture", ids[0])), 1);
    fixture.capture(&ids[0]).assert_status(404);
    fixture.stored(&ids[1]);
    assert_eq!(purge(&format!("/v1/captures?key={other}")), 1);
    assert_eq!(purge(&format!("/v1/captures?key={key}")), 2);
    fixture.capture(&ids[3]).assert_status(404);
    fixture.chat(&fixture.other, PROMPT);
    assert_eq!(purge(&format!("/v1/captures?team={}", fixture.team)), 1);
    fixture.chat(&fixture.other, PROMPT);
    let output = fixture.gatekeeper.run(&["captures", "purge", "--all"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("1 captured calls"),
        "{output:?}"
    );
    assert!(!fixture.file().exists());
    admin.delete("/v1/captures").assert_status(400);
    admin.delete("/v1/captures?all=false").assert_status(400);
    let subjects: Vec<String> = events(&admin, "capture.purge")
        .iter()
        .map(|event| text(event, "subject"))
        .collect();
    let expected = ["captures", &fixture.team, key, other, &ids[0]];
    assert_eq!(subjects, expected);
    fixture.gatekeeper.stop();
    assert_eq!(files_with(&fixture.gatekeeper.data, PROMPT), [""; 0]);
    fixture.gatekeeper.start();
}
