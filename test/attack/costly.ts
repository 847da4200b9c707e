/** Specs of Routes that are inside every limit of the schema and would cost more than everything else together. */

export function rules(count: number, matches: number, match: (rule: number, at: number) => object): object[] {
  return Array.from({ length: count }, (_, r) => ({
    name: `r${r}`,
    matches: Array.from({ length: matches }, (_, m) => match(r, m)),
    respond: { statusCode: 200 },
  }))
}

export const hosts = (count: number): string[] => Array.from({ length: count }, (_, i) => `h${i}.test`)

export function values(count: number, pattern: (i: number) => string | undefined): object[] {
  return Array.from({ length: count }, (_, i) => {
    const value = pattern(i)
    return value === undefined
      ? { name: `x-${i}`, value: `v${i}` }
      : { name: `x-${i}`, type: 'RegularExpression', value }
  })
}

let unique = 0

/** Each is inside every limit of the schema. */
export const HOSTILE: readonly [what: string, spec: () => object, named: RegExp][] = [
  [
    '2,048 expressions of headers that compile to large programs',
    () => ({ rules: rules(16, 16, () => ({ headers: values(8, () => `.*a.{380}b${unique++}`) })) }),
    /regular expressions/,
  ],
  [
    'expressions of paths, queries and cookies',
    () => ({
      rules: rules(64, 16, () => ({
        path: { type: 'RegularExpression', value: `/(?:a?){90}${unique++}` },
        queryParams: values(8, () => `[^a]{99}${unique++}`),
        cookies: values(8, () => `(ab|cd){40}${unique++}`),
      })),
    }),
    /regular expressions/,
  ],
  [
    'every match on every hostname',
    () => ({
      hostnames: hosts(64),
      rules: rules(64, 16, (r, m) => ({
        path: { value: `/${r}/${m}` },
        headers: values(8, () => undefined),
        queryParams: values(8, () => undefined),
        cookies: values(8, () => undefined),
        sourceCIDRs: Array.from({ length: 32 }, (_, i) => `10.${i}.0.0/16`),
      })),
    }),
    /on each of 64 hostnames/,
  ],
  [
    'long paths on every hostname',
    () => ({
      hostnames: hosts(64),
      rules: rules(64, 16, (r, m) => ({ path: { value: `/${r}/${m}/${'x'.repeat(1000)}` } })),
    }),
    /on each of 64 hostnames/,
  ],
  [
    'expressions that fold all of Unicode',
    () => ({
      rules: rules(64, 16, () => ({ path: { type: 'RegularExpression', value: `(?i)[a-\\x{10FFFF}]${unique++}` } })),
    }),
    /regular expressions/,
  ],
  [
    'a rewrite by a large expression in each rule',
    () => ({
      rules: Array.from({ length: 64 }, (_, r) => ({
        name: `r${r}`,
        policies: {
          rewrite: {
            path: { type: 'ReplaceRegex', replaceRegex: { pattern: `.*a.{900}b${unique++}`, substitution: '/' } },
          },
        },
        backendRefs: [{ name: 'a' }],
      })),
    }),
    /regular expressions/,
  ],
]
