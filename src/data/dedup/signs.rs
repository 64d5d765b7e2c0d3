//! Signs of arithmetic and comparison: what words leave out though it changes what a text says.

/// Returns a number for the signs of arithmetic and comparison in a text, in their order: `+ < = > %`, `± × ÷ ≤ ≥ ≠ ≈`, and a minus before a digit
/// that is no hyphen; 0 for a text without them. `x < 3` and `x > 3` have the same words and other signs.
///
/// A `>` at the beginning of a line is a quotation, and three or more of one sign in a row are a rule on the page: these are passed over.
pub fn signs(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut sum = 0_u64;
    let mut add = |code: u32| sum = (sum.rotate_left(7) ^ u64::from(code)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if !LOOKED_AT[usize::from(byte)] {
            at += 1;
            continue;
        }
        let sign = text[at..].chars().next().unwrap_or_default();
        let width = sign.len_utf8();
        let run = bytes[at..].chunks(width).take_while(|c| *c == &bytes[at..at + width]).count();
        let counts = match sign {
            '-' | '−' => {
                let joined = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || !bytes[at - 1].is_ascii());
                run == 1 && !joined && bytes.get(at + width).is_some_and(u8::is_ascii_digit)
            }
            '>' => run < 3 && !begins_line(&text[..at]),
            '+' | '<' | '=' | '%' | '±' | '×' | '÷' | '≤' | '≥' | '≠' | '≈' => run < 3,
            _ => false,
        };
        if counts {
            let code = if sign == '−' { '-' } else { sign };
            (0..run).for_each(|_| add(code.into()));
        }
        at += run * width;
    }
    sum
}

/// Bytes that signs begin with.
static LOOKED_AT: [bool; 256] = {
    let mut table = [false; 256];
    let signs = [b'+', b'-', b'<', b'=', b'>', b'%', 0xC2, 0xC3, 0xE2];
    let mut i = 0;
    while i < signs.len() {
        table[signs[i] as usize] = true;
        i += 1;
    }
    table
};

/// Says whether nothing but blanks stands before a place in its line.
fn begins_line(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with('\n')
}

#[cfg(test)]
mod tests {
    use super::signs;

    #[test]
    fn texts_of_the_same_words_differ_in_what_they_say() {
        let all = ["x < 3", "x > 3", "x = 3", "x 3", "x <= 3", "x ≤ 3", "x + 3", "x -3", "x 3 %", "x > 3 > 1"];
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(signs(a), signs(b), "{a} and {b}");
            }
        }
        assert_eq!(signs("a<b"), signs("a  <  b"));
        assert_eq!(signs("−5 K"), signs("-5 K"));
    }

    #[test]
    fn what_only_lays_a_text_out_is_no_sign() {
        for text in ["> quoted\n  > twice", "Title\n=====", "well-known 3-5, - 4 apples, é-5", "a --- b", "naïve “é” ½"]
        {
            assert_eq!(signs(text), 0, "{text}");
        }
    }
}
