//! Counterparts of words: spelling of one prompt set to that of the other where it is misspelled, then content words in pairs.

use super::text::{Prompt, Word};
use crate::cache::spelling::{Slip, slip};

/// Gives a misspelled word the spelling of the other prompt, in both directions: a word that is in no dictionary, and one change away
/// from a dictionary word that has no counterpart yet. Two unknown words are not compared: they may be two names.
pub fn align_spelling(a: &mut Prompt, b: &mut Prompt, is_word: &dyn Fn(&str) -> bool) {
    respell(&mut a.words, &b.words, is_word);
    respell(&mut b.words, &a.words, is_word);
}

fn respell(words: &mut [Word], right: &[Word], is_word: &dyn Fn(&str) -> bool) {
    for index in 0..words.len() {
        let word = &words[index];
        let is_spelled = |other: &Word| other.text == word.text || other.stem == word.stem;
        if word.is_unit || right.iter().any(is_spelled) || is_word(&word.text) {
            continue;
        }
        let candidate = right.iter().find(|other| {
            let is_free = !words.iter().any(|word| word.text == other.text);
            is_free && is_word(&other.text) && is_misspelling(word, other)
        });
        if let Some(other) = candidate {
            let text = other.text.clone();
            words[index].respell(&text);
        }
    }
}

/// One slip; in names, only such as hardly ever make another name.
fn is_misspelling(word: &Word, right: &Word) -> bool {
    match slip(&word.text, &right.text) {
        Some(Slip::Shape) => true,
        Some(Slip::Letter) => !word.is_name,
        None => false,
    }
}

/// Content words of two prompts in pairs of equal stem.
pub struct Matching<'a> {
    /// positions among the content words of each side
    pub pairs: Vec<(usize, usize)>,
    pub only_a: Vec<&'a Word>,
    pub only_b: Vec<&'a Word>,
}

impl<'a> Matching<'a> {
    pub fn of(a: &'a Prompt, b: &'a Prompt) -> Matching<'a> {
        let (words_a, words_b) = (content(a), content(b));
        let mut is_used = vec![false; words_b.len()];
        let mut pairs = Vec::new();
        let mut only_a = Vec::new();
        for (at, word) in words_a.iter().enumerate() {
            let mut free = words_b
                .iter()
                .enumerate()
                .filter(|(index, _)| !is_used[*index]);
            match free
                .find(|(_, other)| other.stem == word.stem)
                .map(|(index, _)| index)
            {
                Some(index) => {
                    is_used[index] = true;
                    pairs.push((at, index));
                }
                None => only_a.push(*word),
            }
        }
        let unused = words_b.iter().zip(is_used).filter(|(_, is_used)| !is_used);
        Matching {
            pairs,
            only_a,
            only_b: unused.map(|(word, _)| *word).collect(),
        }
    }

    pub fn is_complete(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty()
    }

    /// Share of the words with a counterpart.
    pub fn overlap(&self) -> f32 {
        let all = self.pairs.len() + self.only_a.len() + self.only_b.len();
        self.pairs.len() as f32 / all.max(1) as f32
    }

    /// Pairs in equal order, or with the clauses around one comma exchanged.
    pub fn is_in_order(&self, a: &Prompt, b: &Prompt) -> bool {
        let falls: Vec<usize> = (1..self.pairs.len())
            .filter(|index| self.pairs[*index].1 < self.pairs[index - 1].1)
            .collect();
        match falls[..] {
            [] => true,
            [fall] if self.pairs.len() >= 3 => {
                let (last, first) = (self.pairs[self.pairs.len() - 1].1, self.pairs[0].1);
                let is_rotated = last < first;
                is_rotated && (has_comma_at(a, self.pairs[fall].0) || has_comma_at(b, first))
            }
            _ => false,
        }
    }
}

pub fn content(prompt: &Prompt) -> Vec<&Word> {
    prompt.words.iter().filter(|word| word.is_content).collect()
}

/// A comma right before the content word at this position, or before the words without content in front of it.
fn has_comma_at(prompt: &Prompt, position: usize) -> bool {
    let count = |end: usize| {
        prompt.words[..end]
            .iter()
            .filter(|word| word.is_content)
            .count()
    };
    prompt.commas.iter().any(|comma| count(*comma) == position)
}
