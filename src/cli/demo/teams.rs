//! Teams and models of the demo.

pub(super) const LARGE: &str = "simulator-large";
pub(super) const SMALL: &str = "simulator-small";

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
    // below the cost of any request, to show a refusal
    DemoTeam {
        name: "support",
        models: &[SMALL],
        limit_usd: "0.000001",
        period: "total",
    },
];
