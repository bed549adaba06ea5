//! Word lists of the guards, all of English: words without content of their own, opposites, numbers, units, spellings. A word that is
//! in no list is content, which makes a guard stricter, never laxer: other languages degrade to equal words in equal order.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Words that two equal questions may differ in. Those that can turn an answer round are compared by guards of their own
/// (`relations`).
const STOP: &str = "a about basically erm hmm really uh um actually also am an and any are as at be been being but by can could did do does done for from get give
    go going got had has have having he here him his how i if im in into is it its ive just kindly know let like may me
    might mine must my need of on our per r shall she should show so some such tell than that the
    their them then there these they this those to u us via want was we well were what when where which who whom whose why will with
    would you your yours her";

/// An even number of them on both sides, or an odd one.
const NEGATIONS: &str = "neither never no nobody none nor not nothing without";

const OPPOSITES: &str = "enable disable, open close, open closed, increase decrease, raise lower, start stop, begin end, add remove,
    add subtract, add delete, insert delete, create delete, create destroy, install uninstall, subscribe unsubscribe, lock unlock,
    allow deny, allow block, permit forbid, allowed banned, allowed prohibited, include exclude, accept reject, accept decline,
    approve reject, buy sell, send receive, import export, upload download, encrypt decrypt, encode decode, compress decompress,
    connect disconnect, attach detach, mount unmount, login logout, push pull, read write, save discard, keep discard, show hide,
    on off, up down, before after, above below, over under, more less, most least, more fewer, max min, maximum minimum,
    highest lowest, high low, best worst, better worse, fast slow, faster slower, quickly slowly, big small, larger smaller,
    bigger smaller, large small, long short, longest shortest, longer shorter, old new, older newer, early late, earlier later,
    earliest latest, first last, ascending descending, positive negative, true false, pass fail, passed failed, win lose, won lost,
    legal illegal, safe unsafe, safe dangerous, valid invalid, possible impossible, formal informal, active inactive, public private,
    internal external, online offline, hot cold, warm cold, advantage disadvantage, benefit drawback, pros cons, benefit risk,
    good bad, love hate, like dislike, agree disagree, eat avoid, gain lose, rise fall, arrive depart, arrival departure,
    domestic international, inbound outbound, debit credit, income expense, profit loss, renew cancel, cancel keep, renew expire,
    join leave, hire fire, employ dismiss, male female, man woman, men women, boy girl, husband wife, mother father, son daughter,
    brother sister, indoor outdoor, full empty, part full, temporary permanent, single multiple, always never, all none, all some,
    everything nothing, include omit, with without, derivative integral, differentiate integrate, multiply divide, input output,
    client server, child adult, adult senior, weekday weekend, day night, morning evening, summer winter, north south, east west,
    left right, inside outside, merge split, expand collapse, grow shrink, improve worsen, improve damage, recommended discouraged,
    appeal accept, free paid, cheap expensive, cheapest dearest, lend borrow, give take, give get, come go, restore delete,
    backup restore, undo redo, soft hard, deposit withdraw, deposit withdrawal, pause resume, freeze unfreeze, activate deactivate,
    register deregister, upgrade downgrade, promote demote, in out, enter exit, rent buy, ban allow, successful unsuccessful,
    encourage discourage, strengthen weaken, wet dry, light dark, mute unmute, follow unfollow, block unblock, employer employee,
    lender borrower, landlord tenant, buyer seller, sender recipient, sender receiver, parent child, cause effect, cause prevent,
    cause cure, symptom cure, past future, yesterday tomorrow, today tomorrow, today yesterday, top bottom, front back, inner outer,
    upper lower, major minor, even odd, absolute relative, dead alive, thick thin, wide narrow, deep shallow, near far, strong weak,
    rich poor, gross net, fixed variable, encrypted decrypted, ask answer, question answer, lock open, won lose, built demolished";

/// The rest of the word is equal.
const OPPOSITE_PREFIXES: &[(&str, &str)] = &[
    ("hyper", "hypo"),
    ("over", "under"),
    ("pre", "post"),
    ("inter", "intra"),
    ("in", "ex"),
    ("in", "out"),
    ("im", "ex"),
    ("up", "down"),
    ("mono", "poly"),
    ("uni", "multi"),
    ("macro", "micro"),
    ("en", "dis"),
    ("en", "de"),
    ("ac", "dis"),
    ("pro", "anti"),
    ("maxi", "mini"),
    ("super", "sub"),
    ("endo", "exo"),
    ("ante", "post"),
    ("as", "de"),
    ("fore", "back"),
    ("any", "no"),
    ("every", "no"),
    ("some", "no"),
    ("some", "every"),
    ("semi", "bi"),
];

const OPPOSITE_SUFFIXES: &[(&str, &str)] =
    &[("less", "ful"), ("er", "ee"), ("or", "ee"), ("er", "est")];

const NEGATING_PREFIXES: &str = "un in im ir il dis non de anti mis a counter";

const NUMBERS: &str = "zero 0, one 1, two 2, three 3, four 4, five 5, six 6, seven 7, eight 8, nine 9, ten 10, eleven 11, twelve 12,
    thirteen 13, fourteen 14, fifteen 15, sixteen 16, seventeen 17, eighteen 18, nineteen 19, twenty 20, thirty 30, forty 40,
    fifty 50, sixty 60, seventy 70, eighty 80, ninety 90, hundred 100, thousand 1000, million 1000000, billion 1000000000, first 1,
    second 2, third 3, fourth 4, fifth 5, half 0.5, quarter 0.25, twice 2x, double 2x, triple 3x, once 1x, dozen 12, single 1";

/// One form per unit, spelling and short form.
const FORMS: &str = "kilometres km, kilometers km, kilometre km, kilometer km, kms km, metres m, meters m, metre m, meter m, percent %,
    minutes min, minute min, mins min, seconds s, secs s, sec s, hours h, hour h, hrs h, hr h, gigabytes gb, gigabyte gb, megabytes mb,
    megabyte mb, celsius c, fahrenheit f, pounds £, euros €, euro €, dollars $, dollar $, grams g, gram g, kilograms kg, kilogram kg,
    kilos kg, kilo kg, litres l, liters l, litre l, liter l, centre center, favourite favorite,
    licence license, cheque check, programme program,
    grey gray, tyre tire, kerb curb, mum mom, signup sign up,
    photo photograph, pic picture, pics picture, phone telephone, tv television, info information, docs document, appt appointment,
    acct account, msg message, tmrw tomorrow, pw password, pwd password, dept department, govt government, bday birthday, fridge refrigerator,
    theatre theater, fibre fiber, defence defense, offence offense, practise practice, catalogue catalog, dialogue dialog,
    jewellery jewelry, aluminium aluminum, aeroplane airplane, plough plow, pyjamas pajamas, moustache mustache, judgement judgment,
    ageing aging, cosy cozy, sceptical skeptical, analyse analyze, analysed analyzed, analysing analyzing,
    doc document, app application, apps application, vs versus, maths math, wifi wi fi";

/// Short forms with and without the apostrophe; a space separates the words that they stand for.
const CONTRACTIONS: &str = "can't can not, cant can not, cannot can not, won't will not, wont will not, don't do not, dont do not,
    doesn't does not, doesnt does not, didn't did not, didnt did not, isn't is not, isnt is not, aren't are not, arent are not,
    wasn't was not, wasnt was not, weren't were not, werent were not, hasn't has not, hasnt has not, haven't have not, havent have not,
    hadn't had not, hadnt had not, couldn't could not, couldnt could not, wouldn't would not, wouldnt would not,
    shouldn't should not, shouldnt should not, mustn't must not, mustnt must not, needn't need not, shan't shall not,
    what's what is, whats what is, where's where is, wheres where is, who's who is, whos who is, how's how is, hows how is,
    when's when is, whens when is, why's why is, that's that is, thats that is, there's there is, theres there is, it's it is,
    here's here is, he's he is, she's she is, let's let us, i'm i am, im i am, gonna going to, wanna want to, gotta must,
    ur your, u you, r are, pls please, plz please";

/// Endings of short forms that are taken off any word.
pub const ENDINGS: &[(&str, &str)] = &[
    ("n't", "not"),
    ("'re", "are"),
    ("'ve", "have"),
    ("'ll", "will"),
    ("'d", "would"),
    ("'m", "am"),
    ("'s", ""),
];

/// Words that end like an inflected form and are none, or mean something else than the form without the ending.
const WHOLE_WORDS: &str = "accounting arms banking boarding boxing building ceiling clothing contents customs dressing during earnings
    engineering evening farming funding glasses goods heating housing interesting king lighting listing marketing means meeting
    missing morning news parking pudding rating ring savings sibling species spring string thing trading training wedding wing series
    hundred speed need seed feed breed indeed united red bed shed sacred naked wicked boss less across process access address business
    success class";

fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split_whitespace()
}

/// First word and the rest of each entry.
fn entries(list: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    list.split(',')
        .filter_map(|entry| entry.trim().split_once(' '))
}

/// All lists, built once.
pub struct Lists {
    stop: HashSet<&'static str>,
    negations: HashSet<&'static str>,
    opposites: HashSet<(&'static str, &'static str)>,
    numbers: HashMap<&'static str, &'static str>,
    forms: HashMap<&'static str, &'static str>,
    contractions: HashMap<&'static str, &'static str>,
    whole: HashSet<&'static str>,
}

pub static LISTS: LazyLock<Lists> = LazyLock::new(|| Lists {
    stop: words(STOP).collect(),
    negations: words(NEGATIONS).collect(),
    opposites: entries(OPPOSITES)
        .flat_map(|(a, b)| [(a, b), (b, a)])
        .collect(),
    numbers: entries(NUMBERS).collect(),
    forms: entries(FORMS).collect(),
    contractions: entries(CONTRACTIONS).collect(),
    whole: words(WHOLE_WORDS).collect(),
});

impl Lists {
    pub fn is_stop(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    pub fn is_negation(&self, word: &str) -> bool {
        self.negations.contains(word)
    }

    pub fn number(&self, word: &str) -> Option<&'static str> {
        self.numbers.get(word).copied()
    }

    pub fn form(&self, word: &str) -> Option<&'static str> {
        self.forms.get(word).copied()
    }

    pub fn contraction(&self, word: &str) -> Option<&'static str> {
        self.contractions.get(word).copied()
    }

    /// Two words of opposite meaning, as listed or by their prefixes and suffixes.
    pub fn are_opposite(&self, a: &str, b: &str) -> bool {
        self.opposites.contains(&(a, b))
            || is_negated(a, b)
            || is_negated(b, a)
            || differ_in_part(a, b)
            || differ_in_part(b, a)
    }

    /// Word without the ending of a plural or a verb. Endings that make another word (`-er`, `-ion`) stay.
    pub fn stem(&self, word: &str) -> String {
        if word.len() < 4
            || !word.bytes().all(|byte| byte.is_ascii_lowercase())
            || self.whole.contains(word)
        {
            return word.to_owned();
        }
        let stem = cut(word);
        let stem = if stem.len() > 3 {
            stem.strip_suffix('e').unwrap_or(&stem)
        } else {
            &stem
        };
        one_spelling(stem)
    }
}

fn is_negated(word: &str, plain: &str) -> bool {
    let rest_is_plain = |prefix: &str| word.strip_prefix(prefix) == Some(plain);
    plain.len() >= 3 && words(NEGATING_PREFIXES).any(rest_is_plain)
}

fn differ_in_part(a: &str, b: &str) -> bool {
    let rest = |whole: Option<&str>, other: Option<&str>| {
        whole.is_some_and(|rest| rest.len() >= 3 && Some(rest) == other)
    };
    OPPOSITE_PREFIXES
        .iter()
        .any(|(one, other)| rest(a.strip_prefix(one), b.strip_prefix(other)))
        || OPPOSITE_SUFFIXES
            .iter()
            .any(|(one, other)| rest(a.strip_suffix(one), b.strip_suffix(other)))
}

/// British and American spelling as one: `organis` and `organiz`, `colour` and `color`, `travell` and `travel`.
fn one_spelling(stem: &str) -> String {
    let longer =
        |ending: &str, letters: usize| stem.strip_suffix(ending).filter(|_| stem.len() >= letters);
    if let Some(rest) = longer("isation", 10).or_else(|| longer("ization", 10)) {
        return format!("{rest}ization");
    }
    if let Some(rest) = longer("is", 6) {
        return format!("{rest}iz");
    }
    if let Some(rest) = longer("our", 5) {
        return format!("{rest}or");
    }
    longer("ll", 6).map_or_else(|| stem.to_owned(), |rest| format!("{rest}l"))
}

fn cut(word: &str) -> String {
    let longer = |ending: &str| {
        word.strip_suffix(ending)
            .filter(|rest| rest.len() >= 3 && has_vowel(rest))
    };
    if let Some(rest) = longer("ies").or_else(|| longer("ied")) {
        return format!("{rest}y");
    }
    if let Some(rest) = longer("ing").or_else(|| longer("ed")) {
        return single_end(rest).to_owned();
    }
    for ending in ["sses", "shes", "ches", "xes", "zes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    let is_plural =
        word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    if is_plural {
        word[..word.len() - 1].to_owned()
    } else {
        word.to_owned()
    }
}

/// `stopp` of `stopped` becomes `stop`; `sell` and `pass` stay.
fn single_end(stem: &str) -> &str {
    let bytes = stem.as_bytes();
    let is_double = bytes.len() > 3 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
    if is_double && !stem.ends_with(['l', 's', 'z', 'f', 'e', 'o']) {
        &stem[..stem.len() - 1]
    } else {
        stem
    }
}

fn has_vowel(word: &str) -> bool {
    word.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}
