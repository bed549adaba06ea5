//! Token classes of a rate card: names in a sheet and the class that contains each. Must never name
//! a vendor.

/// Class of tokens with a rate in a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenClass {
    Input,
    CacheRead,
    /// shortest lifetime that the vendor sells
    CacheWrite,
    CacheWrite1h,
    CacheWrite12h,
    InputAudio,
    CacheReadAudio,
    CacheWriteAudio,
    InputImage,
    CacheReadImage,
    InputVideo,
    Output,
    OutputReasoning,
    OutputAudio,
    OutputImage,
    OutputVideo,
}

use TokenClass::{
    CacheRead, CacheReadAudio, CacheReadImage, CacheWrite, CacheWrite1h, CacheWrite12h,
    CacheWriteAudio, Input, InputAudio, InputImage, InputVideo, Output, OutputAudio, OutputImage,
    OutputReasoning, OutputVideo,
};

impl TokenClass {
    pub(super) const COUNT: usize = 16;

    pub(super) const ALL: [TokenClass; TokenClass::COUNT] = [
        Input,
        CacheRead,
        CacheWrite,
        CacheWrite1h,
        CacheWrite12h,
        InputAudio,
        CacheReadAudio,
        CacheWriteAudio,
        InputImage,
        CacheReadImage,
        InputVideo,
        Output,
        OutputReasoning,
        OutputAudio,
        OutputImage,
        OutputVideo,
    ];

    const NAMES: [&'static str; TokenClass::COUNT] = [
        "input",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "cache_write_12h",
        "input_audio",
        "cache_read_audio",
        "cache_write_audio",
        "input_image",
        "cache_read_image",
        "input_video",
        "output",
        "output_reasoning",
        "output_audio",
        "output_image",
        "output_video",
    ];

    /// Class of a name in a sheet.
    pub(super) fn parse(name: &str) -> Option<TokenClass> {
        let at = TokenClass::NAMES.iter().position(|known| *known == name)?;
        TokenClass::ALL.get(at).copied()
    }

    /// Class that contains this one; its rate applies where a card omits this one.
    pub(super) fn parent(self) -> Option<TokenClass> {
        match self {
            Input | Output => None,
            CacheRead | CacheWrite | InputAudio | InputImage | InputVideo => Some(Input),
            CacheWrite1h | CacheWriteAudio => Some(CacheWrite),
            CacheWrite12h => Some(CacheWrite1h),
            CacheReadAudio | CacheReadImage => Some(CacheRead),
            OutputReasoning | OutputAudio | OutputImage | OutputVideo => Some(Output),
        }
    }

    /// Class that a tier or a band scales together with this one.
    pub(super) fn side(self) -> TokenClass {
        match self {
            Output | OutputReasoning | OutputAudio | OutputImage | OutputVideo => Output,
            _ => Input,
        }
    }

    pub(super) fn is_media(self) -> bool {
        matches!(self, InputImage | CacheReadImage | InputVideo)
    }

    pub(super) fn is_audio(self) -> bool {
        matches!(self, InputAudio | CacheReadAudio | CacheWriteAudio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_class_name_round_trips() {
        for (at, class) in TokenClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at);
            assert_eq!(TokenClass::parse(TokenClass::NAMES[at]), Some(class));
            assert_eq!(class.parent().is_none(), class == class.side());
        }
        assert_eq!(TokenClass::parse("output_smell"), None);
    }
}
