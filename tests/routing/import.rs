//! `gatekeeper import litellm`: configurations as people write them become files that `gatekeeper check` accepts.

use std::path::{Path, PathBuf};

use crate::harness::process::gatekeeper_command;

/// Share of the configurations that must translate without a remark.
const WITHOUT_REMARK_PERCENT: usize = 80;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/litellm");
    let files = std::fs::read_dir(folder).expect("the folder of the fixtures");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

fn fixture(name: &str) -> PathBuf {
    let found = fixtures()
        .into_iter()
        .find(|file| file.to_string_lossy().contains(name));
    found.expect("the fixture")
}

/// Exit code, standard output and standard error of an import.
fn import(file: &Path, flags: &[&str]) -> (i32, String, String) {
    let mut command = gatekeeper_command();
    let output = command
        .args(["import", "litellm"])
        .arg(file)
        .args(flags)
        .output();
    let output = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Configuration of a translation, with a value for every variable that it names.
fn resolve(toml: &str) -> Result<gatekeeper::config::Config, String> {
    let environment = |name: &str| {
        Some(match name.contains("BASE") {
            true => "https://models.example.internal/v1".to_owned(),
            false => "value-of-the-variable-0123456789".to_owned(),
        })
    };
    let overrides = gatekeeper::config::Overrides::default();
    gatekeeper::config::parse(Path::new("gatekeeper.toml"), toml, &overrides, &environment)
        .map_err(|errors| errors.to_string())
}

#[test]
fn litellm_configurations_translate_into_valid_files_mostly_without_a_remark() {
    let (mut clean, mut with_remarks) = (0, Vec::new());
    let files = fixtures();
    assert!(files.len() >= 20, "{} fixtures", files.len());
    for file in &files {
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let (code, toml, remarks) = import(file, &[]);
        assert_eq!(code, 0, "{name}: {remarks}");
        let config = resolve(&toml).unwrap_or_else(|errors| panic!("{name}: {errors}\n{toml}"));
        let sheet = std::sync::Arc::new(gatekeeper::price::Sheet::embedded());
        let table = gatekeeper::route::RouteTable::new(&config.providers, sheet)
            .with_routing(&config.routing);
        assert_eq!(table.unreachable(), [], "{name}\n{toml}");
        let secrets = [
            "sk-canary",
            "llmproxy:secret",
            "sk-1234",
            "value-of-the-variable",
        ];
        assert!(
            !secrets
                .iter()
                .any(|secret| toml.contains(secret) || remarks.contains(secret)),
            "{name}"
        );
        match remarks.contains(" 0 remarks") {
            true => clean += 1,
            false => with_remarks.push(name),
        }
    }
    assert!(
        clean * 100 >= files.len() * WITHOUT_REMARK_PERCENT,
        "with remarks: {with_remarks:?}"
    );
    let expected = [
        "21-cache-and-callbacks.yaml",
        "22-literal-key.yaml",
        "25-without-counterpart.yaml",
    ];
    assert_eq!(with_remarks, expected);
}

#[test]
fn litellm_pool_becomes_a_route_with_weights_retries_and_prices() {
    let (_, toml, remarks) = import(&fixture("02-azure-pool"), &[]);
    assert!(remarks.contains(" 0 remarks"), "{remarks}");
    let config = resolve(&toml).expect("valid");
    let route = &config.routing.routes[0];
    let targets: Vec<(&str, u32)> = route
        .targets
        .iter()
        .map(|target| (target.model.as_str(), target.weight))
        .collect();
    assert_eq!(
        targets,
        [("azure/gpt-4o-eu", 900), ("azure-2/gpt-4o-us", 300)]
    );
    assert_eq!(
        (route.name.as_str(), route.retry.max_retries),
        ("gpt-4o", 3)
    );
    assert_eq!(
        config.providers[0]
            .priced_as
            .get("gpt-4o-eu")
            .map(String::as_str),
        Some("gpt-4o")
    );
}

#[test]
fn litellm_bounds_timeouts_and_cooldown_are_translated() {
    let (_, toml, remarks) = import(&fixture("23-limits"), &[]);
    let config = resolve(&toml).expect("valid");
    assert_eq!(config.routing.probe_interval_ms, 13_000, "{toml}");
    let routes = &config.routing.routes;
    let [first, second] = &routes[0].targets[..] else {
        panic!("two targets");
    };
    let bounds = [first, second].map(|target| (target.limits.rpm, target.limits.tpm));
    assert_eq!(bounds, [(Some(60), Some(100_000)), (Some(240_000), None)]);
    // as LiteLLM's shuffle takes them
    assert_eq!((first.weight, second.weight), (60, 240_000));
    let timeouts = [first, second].map(|target| target.timeouts.call_ms);
    assert_eq!(timeouts, [Some(20_000), Some(5_000)]);
    assert_eq!(routes[0].retry.max_retries, 1);
    let own = &routes[1].targets[0];
    assert_eq!(own.model, "openai_compatible/qwen3", "{toml}\n{remarks}");
    assert_eq!((own.limits.rpm, own.weight), (Some(30), 1));
    // timeouts of the only deployment are the route's
    let (_, toml, _) = import(&fixture("10-timeouts"), &[]);
    let config = resolve(&toml).expect("valid");
    let timeouts = config.routing.routes[0].timeouts;
    assert_eq!(timeouts.call_ms, Some(1_200_000));
    assert_eq!(timeouts.first_content_ms, Some(300_000));
}

#[test]
fn litellm_cache_and_budget_are_translated_and_the_rest_is_named_with_its_line() {
    let (_, toml, _) = import(&fixture("24-budget"), &[]);
    let config = resolve(&toml).expect("valid");
    assert_eq!(config.cache.policy.ttl_ms, 600_000, "{toml}");
    for line in [
        "mode = \"exact\"",
        "gatekeeper budgets set default '$100/month'",
    ] {
        assert!(toml.contains(line), "{line}\n{toml}");
    }
    let (_, toml, remarks) = import(&fixture("25-without"), &[]);
    resolve(&toml).expect("valid");
    for expected in [
        ".yaml:6: gpt-4o: max_parallel_requests has no counterpart",
        ".yaml:8: ssl_verify: certificates are always verified",
        ".yaml:10: budget_duration: windows are a day, a week or a month",
        ".yaml:12: global_max_parallel_requests: no counterpart",
        ".yaml:14: provider_budget_config: no counterpart",
    ] {
        assert!(remarks.contains(expected), "{expected}\n{remarks}");
    }
}

#[test]
fn litellm_remarks_name_line_and_reason_and_strict_exits_with_1() {
    let file = fixture("22-literal-key");
    let (code, _, remarks) = import(&file, &["--strict"]);
    assert_eq!(code, 1);
    for expected in [
        "22-literal-key.yaml:5: gpt-4o: api_key stands in the file; store it in the environment as LITELLM_KEY_1",
        "no provider type for `vertex_ai`",
    ] {
        assert!(remarks.contains(expected), "{expected}\n{remarks}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("gatekeeper.toml");
    let path = out.to_string_lossy().into_owned();
    assert_eq!(import(&file, &["--out", &path]).0, 0);
    // an existing file is never replaced
    assert_eq!(import(&file, &["--out", &path]).0, 1);
    std::fs::write(folder.path().join("broken.yaml"), "a: [1").expect("written");
    assert_eq!(import(&folder.path().join("broken.yaml"), &[]).0, 1);
}
