//! Teams and models of the demo.

pub(super) const LARGE: &str = "simulator-large";
pub(super) const SMALL: &str = "simulator-small";

/// Team whose budget the demo spends.
pub(super) const SPENDER: &str = "support";

/// A team with its allowed models and its budget.
pub(super) struct DemoTeam {
    pub name: &'static str,
    pub models: &'static [&'static str],
    pub limit_usd: &'static str,
    pub period: &'static str,
}

pub(super) const TEAMS: [DemoTeam; 3] = [
    DemoTeam {
        name: "engineering",
        models: &[LARGE, SMALL],
        limit_usd: "10",
        period: "monthly",
    },
    DemoTeam {
        name: "marketing",
        models: &[SMALL],
        limit_usd: "5",
        period: "monthly",
    },
    // the demo spends it at its first start, to show a refusal
    DemoTeam {
        name: SPENDER,
        models: &[SMALL],
        limit_usd: "0.01",
        period: "total",
    },
];
