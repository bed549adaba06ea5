//! Requests fitted to capabilities: dropped fields, reasoning, media and system turns.

use super::*;
use crate::conversation::{Sampling, Turn, raw};

const FIELD_NAMES: FieldNames = FieldNames {
    messages: "messages",
    stop: "stop",
    reasoning: "reasoning_effort",
    format: "response_format",
    parallel_tools: "parallel_tool_calls",
    user: "user",
};

fn fit(mut request: ChatRequest, capabilities: Capabilities) -> Result<ChatRequest, ApiError> {
    request
        .fit(&capabilities, &FIELD_NAMES, "vendor/model")
        .map(|()| request)
}

fn fit_reasoning(
    reasoning: ReasoningOptions,
    output_cap: Option<u64>,
    style: ReasoningStyle,
) -> (ReasoningOptions, Vec<String>) {
    let capabilities = Capabilities {
        reasoning: style,
        ..Capabilities::all()
    };
    let request = fit(
        ChatRequest {
            reasoning,
            output_cap,
            ..ChatRequest::default()
        },
        capabilities,
    )
    .expect("a supported request");
    (request.reasoning, request.dropped)
}

#[test]
fn r01_reasoning_fits_the_model_or_is_reported_as_dropped() {
    let requested = ReasoningOptions {
        effort: Some(Effort::High),
        ..ReasoningOptions::default()
    };
    let budget = ReasoningStyle::Budget {
        min: 1_024,
        max: 64_000,
    };
    assert_eq!(
        fit_reasoning(requested.clone(), Some(800), budget),
        (
            ReasoningOptions::default(),
            vec!["reasoning_effort".to_owned()]
        )
    );
    assert_eq!(
        fit_reasoning(requested.clone(), Some(2_000), budget)
            .0
            .budget,
        Some(1_999)
    );
    assert_eq!(
        fit_reasoning(requested.clone(), None, budget).0.budget,
        Some(16_384)
    );
    let adaptive = fit_reasoning(
        requested.clone(),
        Some(800),
        ReasoningStyle::Adaptive(&[Effort::Low, Effort::High]),
    )
    .0;
    assert_eq!(
        (adaptive.adaptive, adaptive.effort, adaptive.budget),
        (true, Some(Effort::High), None)
    );
    assert_eq!(
        fit_reasoning(requested, None, ReasoningStyle::None).1,
        ["reasoning_effort"]
    );
    let off = ReasoningOptions {
        effort: Some(Effort::None),
        ..ReasoningOptions::default()
    };
    assert_eq!(
        fit_reasoning(off, None, ReasoningStyle::None),
        (ReasoningOptions::default(), vec![]),
        "not reported as dropped"
    );
}

#[test]
fn exclusive_reasoning_yields_to_forced_tool_and_removes_sampling() {
    let capabilities = Capabilities {
        exclusive_reasoning: true,
        reasoning: ReasoningStyle::Adaptive(&[Effort::High]),
        ..Capabilities::all()
    };
    let tool = crate::conversation::Tool {
        name: "f".into(),
        description: None,
        schema: Default::default(),
        strict: None,
        cache: None,
    };
    let request = |tool_choice| ChatRequest {
        reasoning: ReasoningOptions {
            effort: Some(Effort::High),
            ..ReasoningOptions::default()
        },
        sampling: Sampling {
            temperature: raw("0".into()),
            ..Sampling::default()
        },
        tools: vec![tool.clone()],
        tool_choice,
        ..ChatRequest::default()
    };
    let forced = fit(request(ToolChoice::Any), capabilities).expect("a supported request");
    assert_eq!(
        (forced.reasoning.is_named(), forced.dropped),
        (false, vec!["reasoning_effort".to_owned()])
    );
    let free = fit(request(ToolChoice::Auto), capabilities).expect("a supported request");
    assert_eq!(
        (
            free.reasoning.adaptive,
            free.sampling.temperature,
            free.dropped
        ),
        (true, None, vec!["temperature".to_owned()])
    );
}

#[test]
fn thinking_budget_is_dropped_if_reasoning_before_a_call_is_lost() {
    let reasoning = ReasoningStyle::Budget {
        min: 1_024,
        max: 64_000,
    };
    let capabilities = Capabilities {
        reasoning,
        signed_reasoning: true,
        ..Capabilities::all()
    };
    let call = crate::conversation::ToolCall {
        id: "a".into(),
        name: "f".into(),
        arguments: String::new(),
        provider_state: None,
    };
    let provider_state = crate::conversation::ProviderState {
        origin: None,
        kind: crate::conversation::ProviderStateKind::Signature,
        data: "s".into(),
    };
    let reasoning_block = crate::conversation::ReasoningBlock {
        text: "hm".into(),
        provider_state: Some(provider_state),
    };
    for (reasoning_blocks, is_kept) in [
        (vec![], false),
        (vec![Content::Reasoning(reasoning_block).into()], true),
    ] {
        let blocks = [
            reasoning_blocks,
            vec![Content::ToolCall(call.clone()).into()],
        ]
        .concat();
        let turns = vec![Turn {
            role: Role::Assistant,
            blocks,
        }];
        let reasoning = ReasoningOptions {
            effort: Some(Effort::Medium),
            ..ReasoningOptions::default()
        };
        let request = fit(
            ChatRequest {
                turns,
                reasoning,
                ..ChatRequest::default()
            },
            capabilities,
        )
        .expect("a supported request");
        assert_eq!(
            (
                request.reasoning.budget.is_some(),
                request.dropped.is_empty()
            ),
            (is_kept, is_kept)
        );
    }
}

#[test]
fn r02_adaptive_reasoning_becomes_the_nearest_effort_without_budget() {
    let requested = ReasoningOptions {
        effort: Some(Effort::XHigh),
        adaptive: true,
        ..ReasoningOptions::default()
    };
    let (options, dropped) = fit_reasoning(
        requested,
        None,
        ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
    );
    assert_eq!(
        (options.effort, options.budget, options.adaptive),
        (Some(Effort::High), None, false)
    );
    assert!(dropped.is_empty());
}

#[test]
fn unsupported_fields_are_dropped_by_the_clients_names() {
    let number = || raw("0.5".into());
    let sampling = Sampling {
        temperature: number(),
        top_p: number(),
        seed: number(),
        ..Sampling::default()
    };
    let capabilities = Capabilities {
        sampling: false,
        user: false,
        seed: true,
        ..Capabilities::all()
    };
    let request = fit(
        ChatRequest {
            sampling,
            user: Some("u".into()),
            ..ChatRequest::default()
        },
        capabilities,
    )
    .expect("a supported request");
    assert_eq!(request.dropped, ["temperature", "top_p", "user"]);
    assert!(request.sampling.seed.is_some() && request.sampling.temperature.is_none());
}

#[test]
fn unsupported_media_are_refused() {
    let media = |source| Media {
        mime: "image/png".into(),
        source,
        name: None,
    };
    let with = |content: Content| ChatRequest {
        turns: vec![Turn {
            role: Role::User,
            blocks: vec![content.into()],
        }],
        ..ChatRequest::default()
    };
    let capabilities = Capabilities {
        images: false,
        documents: false,
        ..Capabilities::all()
    };
    for content in [
        Content::Image(media(Source::Base64("AA".into()))),
        Content::Document(media(Source::Base64("AA".into()))),
    ] {
        assert_eq!(
            fit(with(content), capabilities)
                .expect_err("refused")
                .param
                .as_deref(),
            Some("messages")
        );
    }
    assert!(
        fit(
            with(Content::Document(media(Source::Text("t".into())))),
            capabilities
        )
        .is_ok()
    );
    let capabilities = Capabilities {
        image_urls: false,
        ..Capabilities::all()
    };
    let error = fit(
        with(Content::Image(media(Source::Url("https://x".into())))),
        capabilities,
    )
    .expect_err("refused");
    assert!(error.message.contains("base64"), "{error}");
}

#[test]
fn e01_later_system_turn_keeps_its_position_as_user_turn() {
    let turn = |role, text: &str| Turn {
        role,
        blocks: vec![Content::Text(text.into()).into()],
    };
    let turns = vec![
        turn(Role::System, "top"),
        turn(Role::User, "go"),
        turn(Role::System, "later"),
    ];
    let capabilities = Capabilities {
        system_turns: SystemTurns::First,
        ..Capabilities::all()
    };
    let request = fit(
        ChatRequest {
            turns,
            ..ChatRequest::default()
        },
        capabilities,
    )
    .expect("a supported request");
    assert_eq!(
        (
            request.turns.len(),
            request.turns[1].role,
            request.turns[1].blocks.len()
        ),
        (2, Role::User, 2)
    );
    assert!(
        matches!(&request.turns[1].blocks[1].content, Content::Text(text) if text == "<system>\nlater\n</system>")
    );
}
