//! Teams and models of the demo, with invented prices and limits.

pub(super) const LARGE: &str = "simulator-large";
pub(super) const SMALL: &str = "simulator-small";

/// A model with its rates in USD per million tokens.
pub(super) struct DemoModel {
    pub name: &'static str,
    pub input: &'static str,
    pub cached: &'static str,
    pub output: &'static str,
}

const fn model(
    name: &'static str,
    input: &'static str,
    cached: &'static str,
    output: &'static str,
) -> DemoModel {
    DemoModel {
        name,
        input,
        cached,
        output,
    }
}

pub(super) const MODELS: [DemoModel; 8] = [
    model(LARGE, "3.00", "0.30", "15.00"),
    model(SMALL, "0.25", "0.025", "1.25"),
    model("simulator-mini", "0.10", "0.01", "0.40"),
    model("simulator-code", "1.50", "0.15", "8.00"),
    model("simulator-reasoning", "5.00", "0.50", "25.00"),
    model("simulator-vision", "1.00", "0.10", "5.00"),
    model("simulator-legacy", "10.00", "10.00", "30.00"),
    model("simulator-embedding", "0.05", "0.05", "0.05"),
];

/// Team whose budget is used up.
pub(super) const SPENDER: &str = "support";

/// A budget: limit in USD, and its period.
#[derive(Clone, Copy)]
pub(super) struct DemoBudget {
    pub limit_usd: &'static str,
    pub period: &'static str,
}

/// A team with its allowed models and its budget, which depends on the traffic of a history.
pub(super) struct DemoTeam {
    pub name: &'static str,
    pub models: &'static [&'static str],
    pub budget: DemoBudget,
    pub budget_with_history: DemoBudget,
}

const fn monthly(limit_usd: &'static str) -> DemoBudget {
    DemoBudget {
        limit_usd,
        period: "monthly",
    }
}

pub(super) const TEAMS: [DemoTeam; 4] = [
    DemoTeam {
        name: "engineering",
        models: &["simulator-*"],
        budget: monthly("10"),
        budget_with_history: monthly("200"),
    },
    DemoTeam {
        name: "marketing",
        models: &[SMALL, "simulator-mini", "simulator-vision"],
        budget: monthly("5"),
        budget_with_history: monthly("5"),
    },
    DemoTeam {
        name: SPENDER,
        models: &[SMALL, "simulator-mini", "simulator-embedding"],
        // the demo spends it at its first start, to show a refusal
        budget: DemoBudget {
            limit_usd: "0.05",
            period: "total",
        },
        budget_with_history: monthly("2"),
    },
    DemoTeam {
        name: "research",
        models: &["simulator-*"],
        budget: monthly("10"),
        budget_with_history: monthly("100"),
    },
];
