//! What questions may cost: tokens, and money at the prices of a model's tokens.

use std::sync::Mutex;

use serde_json::Value as Json;

use super::line::held;
use super::request::Reply;
use crate::base::OpError;

/// What may be spent, read from the options of `with`: `spend` tokens, and `money` in the currency in which `price_in` (questions) and `price_out`
/// (answers) are the prices of a million tokens. What is not given is not bounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    tokens: Option<u64>,
    money: Option<f64>,
    /// Of a million tokens of questions and of answers.
    prices: Option<[f64; 2]>,
}

/// An amount of money is counted in so many parts, whole ones, so that the order of replies does not show in a sum.
const PARTS: f64 = 1e12;

/// What something costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tokens of questions and answers.
    pub tokens: u64,
    /// Money in 10⁻¹² of its unit.
    parts: u64,
}

impl Cost {
    /// Returns the money in millionths of its unit.
    pub fn millionths(self) -> u64 {
        self.parts / 1_000_000
    }

    fn and(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), parts: self.parts.saturating_add(other.parts) }
    }

    fn without(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), parts: self.parts.saturating_sub(other.parts) }
    }

    fn money(self) -> f64 {
        self.parts as f64 / PARTS
    }
}

impl Budget {
    /// Reads the options of `with`.
    ///
    /// # Errors
    /// `E0211` when one of the prices is missing; `E0214` when a number is below 0.
    pub fn of(with: &Json) -> Result<Self, OpError> {
        let number = |name: &str| match with[name].as_f64() {
            Some(n) if n < 0.0 => Err(OpError::new("E0214", format!("`{name}` is {n}, expected 0 or more"))),
            n => Ok(n),
        };
        let money = number("money")?;
        let prices = match (number("price_in")?, number("price_out")?) {
            (Some(asked), Some(answered)) => Some([asked, answered]),
            (None, None) if money.is_none() => None,
            _ => {
                return Err(OpError::new("E0211", "money is counted by the prices of questions and of answers")
                    .help("give both, for a million tokens: `with { money: 5.0, price_in: 0.15, price_out: 0.6 }`"));
            }
        };
        Ok(Self { tokens: with["spend"].as_u64(), money, prices })
    }

    /// Says whether it is known what tokens cost.
    pub fn is_priced(&self) -> bool {
        self.prices.is_some()
    }

    fn cost(&self, asked: u64, answered: u64) -> Cost {
        let [price_in, price_out] = self.prices.unwrap_or_default();
        let parts = |tokens: u64, price: f64| (tokens as f64 * (price / 1e6 * PARTS).round()) as u64;
        Cost { tokens: asked + answered, parts: parts(asked, price_in).saturating_add(parts(answered, price_out)) }
    }
}

/// What was spent of a budget, and what is set aside for requests under way.
pub struct Purse {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    spent: Cost,
    reserved: Cost,
}

impl Purse {
    /// Opens with nothing spent.
    pub fn new(budget: Budget) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Sets aside what a request may cost: nothing is ever sent that the budget does not cover.
    ///
    /// # Errors
    /// Class `budget` when it does not.
    pub fn reserve(&self, asked: u64, answered: u64) -> Result<Cost, OpError> {
        let cost = self.budget.cost(asked, answered);
        let mut state = held(&self.state);
        let (spent, reserved) = (state.spent, state.reserved.and(cost));
        let all = spent.and(reserved);
        let over = |message: String, option: &str| {
            let help = format!("raise `with {{ {option}: … }}` and run again: answers so far are kept");
            Err(OpError::new("E0612", message).class("budget").help(help))
        };
        if let Some(most) = self.budget.tokens.filter(|most| all.tokens > *most) {
            let (cost, spent, reserved) = (cost.tokens, spent.tokens, reserved.tokens);
            let message =
                format!("the next question may cost {cost} tokens; {spent} of {most} are spent, {reserved} reserved");
            return over(message, "spend");
        }
        if let Some(most) = self.budget.money.filter(|most| all.money() > *most) {
            let [cost, spent, reserved] = [cost, spent, reserved].map(Cost::money);
            let message = format!(
                "the next question may cost {cost:.6} of money; {spent:.6} of {most} are spent, {reserved:.6} reserved"
            );
            return over(message, "money");
        }
        state.reserved = reserved;
        Ok(cost)
    }

    /// Charges an answer for which `reserved` was set aside. A server that counts no tokens is charged all of that.
    pub fn pay(&self, reserved: Cost, reply: &Reply) {
        let counted = self.budget.cost(reply.prompt_tokens, reply.completion_tokens);
        let cost = match reply.tokens {
            0 => reserved,
            tokens if counted.tokens == 0 => self.dearest(tokens),
            tokens => Cost { tokens, ..counted },
        };
        self.charge(reserved, cost);
    }

    /// Charges a request that brought no answer, for the tokens that it cost all the same.
    pub fn lose(&self, reserved: Cost, tokens: u64) {
        self.charge(reserved, self.dearest(tokens));
    }

    /// Returns what was spent.
    pub fn spent(&self) -> Cost {
        held(&self.state).spent
    }

    /// The cost of tokens of which it is not known whether they asked or answered.
    fn dearest(&self, tokens: u64) -> Cost {
        let (asked, answered) = (self.budget.cost(tokens, 0), self.budget.cost(0, tokens));
        if asked.parts > answered.parts { asked } else { answered }
    }

    fn charge(&self, reserved: Cost, cost: Cost) {
        let mut state = held(&self.state);
        state.reserved = state.reserved.without(reserved);
        state.spent = state.spent.and(cost);
    }
}
