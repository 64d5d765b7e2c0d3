//! Characters that look like one of the language's own.

/// Names a character that editors, chats and keyboards put where an ASCII one is meant.
pub(super) fn look_alike(c: char) -> Option<(&'static str, char)> {
    Some(match c {
        '“' | '”' | '„' | '‟' | '«' | '»' | '＂' | '″' => ("a typographic quote", '"'),
        '‘' | '’' | '‚' | '′' | '＇' => ("a typographic quote", '"'),
        '–' | '—' | '−' | '‐' | '‑' | '﹣' | '－' => ("a dash", '-'),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ("a special blank", ' '),
        '\u{200b}'..='\u{200f}'
        | '\u{2060}'
        | '\u{feff}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{ad}' => ("an invisible character", '\0'),
        '，' | '、' => ("a full-width comma", ','),
        '：' | '∶' => ("a full-width colon", ':'),
        '（' => ("a full-width bracket", '('),
        '）' => ("a full-width bracket", ')'),
        '［' => ("a full-width bracket", '['),
        '］' => ("a full-width bracket", ']'),
        '｛' => ("a full-width bracket", '{'),
        '｝' => ("a full-width bracket", '}'),
        '＝' => ("a full-width equals sign", '='),
        '＞' => ("a full-width sign", '>'),
        '＜' => ("a full-width sign", '<'),
        '＋' => ("a full-width sign", '+'),
        '％' => ("a full-width percent sign", '%'),
        '｜' => ("a full-width bar", '|'),
        '．' => ("a full-width point", '.'),
        '＃' => ("a full-width number sign", '#'),
        '＿' => ("a full-width underscore", '_'),
        '×' => ("a multiplication sign", '*'),
        '÷' => ("a division sign", '/'),
        '０'..='９' => ("a full-width digit", char::from_u32(u32::from(c) - 0xff10 + 0x30)?),
        'ａ'..='ｚ' => ("a full-width letter", char::from_u32(u32::from(c) - 0xff41 + 0x61)?),
        'Ａ'..='Ｚ' => ("a full-width letter", char::from_u32(u32::from(c) - 0xff21 + 0x41)?),
        'а' => ("a Cyrillic letter", 'a'),
        'с' => ("a Cyrillic letter", 'c'),
        'ԁ' => ("a Cyrillic letter", 'd'),
        'е' | 'ё' => ("a Cyrillic letter", 'e'),
        'һ' => ("a Cyrillic letter", 'h'),
        'і' | 'ї' => ("a Cyrillic letter", 'i'),
        'ј' => ("a Cyrillic letter", 'j'),
        'о' => ("a Cyrillic letter", 'o'),
        'р' => ("a Cyrillic letter", 'p'),
        'ѕ' => ("a Cyrillic letter", 's'),
        'х' => ("a Cyrillic letter", 'x'),
        'у' => ("a Cyrillic letter", 'y'),
        'А' => ("a Cyrillic letter", 'A'),
        'В' => ("a Cyrillic letter", 'B'),
        'С' => ("a Cyrillic letter", 'C'),
        'Е' => ("a Cyrillic letter", 'E'),
        'М' => ("a Cyrillic letter", 'M'),
        'О' => ("a Cyrillic letter", 'O'),
        'Р' => ("a Cyrillic letter", 'P'),
        'Т' => ("a Cyrillic letter", 'T'),
        'α' => ("a Greek letter", 'a'),
        'ν' => ("a Greek letter", 'v'),
        'ο' => ("a Greek letter", 'o'),
        'ρ' => ("a Greek letter", 'p'),
        'χ' => ("a Greek letter", 'x'),
        'Α' => ("a Greek letter", 'A'),
        'Ο' => ("a Greek letter", 'O'),
        'ı' => ("a dotless letter", 'i'),
        'ſ' => ("a long s", 's'),
        '…' => ("an ellipsis", '.'),
        _ => return None,
    })
}

/// What is written instead of a mark of several characters.
pub(super) fn instead(c: char) -> Option<&'static str> {
    Some(match c {
        '≤' => "<=",
        '≥' => ">=",
        '≠' => "!=",
        '→' | '➔' | '⟶' => "->",
        '⇒' => "=>",
        '▷' | '⊳' => "|>",
        '…' => "..",
        '°' | 'º' | '˚' => "deg",
        '∈' => "in",
        '∧' => "and",
        '∨' => "or",
        '¬' => "not",
        _ => return None,
    })
}
