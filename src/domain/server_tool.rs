//! Tools that a vendor runs for a call and bills by use. The positions in `ALL` are stored.

/// Tool that a vendor runs for a call and bills by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerTool {
    WebSearch,
    WebSearchPreview,
    /// search that a model runs for each request
    WebSearchEachCall,
    GoogleSearch,
    GoogleMaps,
    BrowserSearch,
    BrowserOpen,
    FileSearch,
    CodeInterpreter,
}

impl ServerTool {
    pub const ALL: [ServerTool; 9] = [
        ServerTool::WebSearch,
        ServerTool::WebSearchPreview,
        ServerTool::WebSearchEachCall,
        ServerTool::GoogleSearch,
        ServerTool::GoogleMaps,
        ServerTool::BrowserSearch,
        ServerTool::BrowserOpen,
        ServerTool::FileSearch,
        ServerTool::CodeInterpreter,
    ];

    /// Name in price sheets and records.
    pub fn name(self) -> &'static str {
        match self {
            ServerTool::WebSearch => "web_search",
            ServerTool::WebSearchPreview => "web_search_preview",
            ServerTool::WebSearchEachCall => "web_search_each_call",
            ServerTool::GoogleSearch => "google_search",
            ServerTool::GoogleMaps => "google_maps",
            ServerTool::BrowserSearch => "browser_search",
            ServerTool::BrowserOpen => "browser_open",
            ServerTool::FileSearch => "file_search",
            ServerTool::CodeInterpreter => "code_interpreter",
        }
    }

    /// Class of the cost line of this tool.
    pub fn cost_class(self) -> &'static str {
        match self {
            ServerTool::WebSearchEachCall => "web_search",
            tool => tool.name(),
        }
    }

    /// Returns true for a search of the web.
    pub fn is_search(self) -> bool {
        matches!(
            self,
            ServerTool::WebSearch
                | ServerTool::WebSearchPreview
                | ServerTool::GoogleSearch
                | ServerTool::BrowserSearch
        )
    }

    /// Tool of a name in a price sheet.
    pub fn parse(name: &str) -> Option<ServerTool> {
        let mut tools = ServerTool::ALL.into_iter();
        tools.find(|tool| tool.name() == name)
    }
}
