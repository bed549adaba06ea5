// Arithmetic of the dashboard without a browser: axis steps and their labels, amounts, quantiles, CSV.

import { equal } from "./kit.mjs";

const ASSETS = "../../assets/dashboard";

export async function units(kit) {
  const [{ ticks }, format, { quantile }, { parse }] = await Promise.all(["chart", "format", "pages/overview", "metrics"].map((name) => import(`${ASSETS}/${name}.js`)));
  await kit.test("axis steps are round and cover the largest value", async () => {
    for (const [max, wanted] of [[9.8, [0, 2.5, 5, 7.5, 10]], [10, [0, 2.5, 5, 7.5, 10]], [7, [0, 2, 4, 6, 8]], [1300, [0, 500, 1000, 1500]], [0, [0, 0.25, 0.5, 0.75, 1]]]) equal(ticks(max), wanted, `steps up to ${max}`);
    for (let max = 1e-6; max < 1e6; max *= 1.37) {
      const steps = ticks(max);
      if (steps.at(-1) < max * 0.999 || steps.length < 4 || steps.length > 6) throw new Error(`${max}: ${steps}`);
      const texts = format.usdTicks(steps);
      equal(new Set(texts).size, steps.length, `different labels up to ${max}: ${texts}`);
    }
  });
  await kit.test("labels of an axis have the same decimals, and never one alone below a thousand", async () => {
    for (const [steps, wanted] of [[[0, 2.5, 5], ["$0", "$2.50", "$5.00"]], [[0, 5, 10], ["$0", "$5", "$10"]], [[0, 0.2, 0.4], ["$0", "$0.20", "$0.40"]], [[0, 0.00025, 0.0005], ["$0", "$0.00025", "$0.00050"]], [[0, 500, 1000, 1500], ["$0", "$500", "$1.0K", "$1.5K"]]]) equal(format.usdTicks(steps), wanted, `labels of ${steps}`);
  });
  await kit.test("amounts keep their digits", async () => {
    const { pico, usd, usdExact, usdLimit, decimal, duration, csv } = format;
    equal([usd(pico("5072.2")), usd(pico("0.0426")), usd(pico("0.0000123")), usd(0n), usd(pico("0.000000000001"))], ["$5,072.20", "$0.0426", "$0.0000123", "$0", "$0.000000000001"], "amounts");
    equal([usdExact(pico("9007199254740993.000000000001")), decimal(pico("-0.5"))], ["$9,007,199,254,740,993.000000000001", "-0.5"], "digits beyond those of a float");
    equal([usdLimit(pico("450")), usdLimit(pico("75.5")), usdLimit(pico("0.001"))], ["$450", "$75.50", "$0.001"], "limits");
    equal([duration(412), duration(9620), duration(60_000), duration(119_700), duration(83_000)], ["412 ms", "9.62 s", "1 min", "2 min", "1 min 23 s"], "durations");
    equal(csv(["a", "b"], [["=1+1", 2], ['x,"y"', -3]]), 'a,b\r\n\'=1+1,2\r\n"x,""y""",-3\r\n', "CSV");
  });
  await kit.test("quantiles of a histogram are those of the API", async () => {
    const bounds = [25, 50, 75, 100];
    equal([50, 95, 99].map((percent) => quantile([0, 10, 0, 10, 0], bounds, percent)), [50, 97, 100], "quantiles");
    equal(quantile([0, 0, 0, 0, 0], bounds, 50), null, "of nothing");
    equal(quantile([0, 0, 0, 0, 3], bounds, 95), 100, "beyond the last bound");
  });
  await kit.test("readings of metrics are parsed with their labels", async () => {
    equal(parse('# TYPE a gauge\na 1\nb{x="1",y="two words"} 2.5\n'), [{ name: "a", labels: {}, value: 1 }, { name: "b", labels: { x: "1", y: "two words" }, value: 2.5 }], "readings");
  });
}
