/** RFC 9111 §4.1: which of several responses of one URI a request gets. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type CacheRig, type Fields, FRESH, type Row, STANDARD, table } from './rig.ts'

const vary = (
  rule: string,
  names: string | readonly string[],
  request: Fields,
  again: Fields,
  fate: Row['fate'],
): Row => ({
  ...{ rule: `§4.1 ${rule}`, request, again, fate },
  answer: [FRESH, ...[names].flat().map((value) => `vary: ${value}`)],
})

const ROWS: readonly Row[] = [
  vary('the same value', 'x-a', { 'x-a': '1' }, { 'x-a': '1' }, 'hit'),
  vary('another value', 'x-a', { 'x-a': '1' }, { 'x-a': '2' }, 'unstored'),
  vary('a value of another case', 'x-a', { 'x-a': 'one' }, { 'x-a': 'One' }, 'unstored'),
  vary('absent both times', 'x-a', {}, {}, 'hit'),
  vary('absent at first', 'x-a', {}, { 'x-a': '1' }, 'unstored'),
  vary('absent later', 'x-a', { 'x-a': '1' }, {}, 'unstored'),
  vary('empty is not absent', 'x-a', {}, { 'x-a': '' }, 'unstored'),
  vary('another field is nothing', 'x-a', { 'x-a': '1', 'x-b': '1' }, { 'x-a': '1', 'x-b': '2' }, 'hit'),
  vary('names in any case', 'X-A', { 'x-a': '1' }, { 'X-a': '1' }, 'hit'),
  vary('names in any case: another value', 'X-A', { 'x-a': '1' }, { 'X-a': '2' }, 'unstored'),
  vary('two of a list, both the same', 'x-a, x-b', { 'x-a': '1', 'x-b': '2' }, { 'x-b': '2', 'x-a': '1' }, 'hit'),
  vary('two of a list, one differs', 'x-a, x-b', { 'x-a': '1', 'x-b': '2' }, { 'x-a': '1', 'x-b': '3' }, 'unstored'),
  vary('two lines of Vary', ['x-a', 'x-b'], { 'x-a': '1', 'x-b': '2' }, { 'x-a': '1', 'x-b': '3' }, 'unstored'),
  vary(
    'values that run into each other',
    'x-a, x-b',
    { 'x-a': '12', 'x-b': '3' },
    { 'x-a': '1', 'x-b': '23' },
    'unstored',
  ),
  vary('values that move to the other field', 'x-a, x-b', { 'x-a': '1' }, { 'x-b': '1' }, 'unstored'),
  vary('*', '*', {}, {}, 'asks'),
  vary('* in a list', 'x-a, *', {}, {}, 'asks'),
  vary('* in a line of its own', ['x-a', '*'], {}, {}, 'asks'),
  vary('an empty list', '', { 'x-a': '1' }, { 'x-a': '2' }, 'hit'),
  vary('empty members', ', x-a, ,', { 'x-a': '1' }, { 'x-a': '1' }, 'hit'),
  vary('white space around a value', 'x-a', { 'x-a': '1' }, { 'x-a': '  1  ' }, 'hit'),
  vary('languages', 'accept-language', { 'accept-language': 'de' }, { 'accept-language': 'en' }, 'unstored'),
  vary('Cookie', 'cookie', { cookie: 'a=1' }, { cookie: 'a=2' }, 'unstored'),
  vary('Origin, absent and there', 'origin', {}, { origin: 'https://evil.example' }, 'unstored'),
  vary('Host is part of the key anyway', 'host', {}, {}, 'hit'),
]

export function variants(rig: () => CacheRig): void {
  table(rig, ROWS)

  it('RFC 9111 §4.1: Vary by a condition, for which the cache has its own: is stored for nobody', async () => {
    for (const [name, value] of [
      ['if-none-match', '"x"'],
      ['if-modified-since', 'Sun, 06 Nov 1994 08:49:37 GMT'],
      ['if-range', '"x"'],
    ] as const) {
      const page = rig().page(STANDARD, { fields: ['cache-control: public, max-age=3600', `vary: ${name}`] })
      await page.gets(1, 1, { [name]: value })
      await page.gets(2, 2, { [name]: value })
      await page.gets(3, 3)
      await page.gets(4, 4)
    }
  })

  it('RFC 9111 §4.1: Vary by a credential or a directive: nobody gets what was stored for another value', async () => {
    for (const [name, one, two] of [
      ['authorization', 'Bearer a', 'Bearer b'],
      ['cache-control', 'max-stale', 'max-stale=1'],
      ['pragma', 'a', 'b'],
    ] as const) {
      const page = rig().page(STANDARD, { fields: ['cache-control: public, max-age=3600', `vary: ${name}`] })
      await page.gets(1, 1, { [name]: one })
      await page.gets(2, 2, { [name]: two })
      await page.gets(3, 3)
      assert.equal((await page.get({ [name]: one })).text, `${page.path} answer 1`, name)
      assert.equal(page.asked.length, 3, name)
    }
  })

  it('RFC 9111 §4.1: several variants are kept side by side', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'vary: accept-language'] })
    const languages = ['de', 'en', 'fr', 'da']
    for (const [at, language] of languages.entries()) await page.gets(at + 1, at + 1, { 'accept-language': language })
    for (const [at, language] of languages.entries()) await page.hits({ 'accept-language': language }, at + 1)
  })

  it('RFC 9111 §4.1: a page that begins to vary by another field: no client gets what was stored for the other', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] }, { fields: [FRESH, 'vary: x-a'] })
    await page.gets(1, 1, { 'x-a': '1' })
    await page.gets(2, 2, { 'x-a': '2', 'cache-control': 'no-cache' })
    // What was stored first may be used for others or not; what was stored for 2 is for 2 alone.
    await page.hits({ 'x-a': '2' }, 2)
    const other = await page.get({ 'x-a': '3' })
    assert.notEqual(other.text, `${page.path} answer 2`)
  })

  it('RFC 9111 §4.1: variants by other fields: each of the responses says by what it varies', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'vary: x-a'] }, { fields: [FRESH, 'vary: x-b'] })
    await page.gets(1, 1, { 'x-a': '1', 'x-b': '1' })
    await page.gets(2, 2, { 'x-a': '2', 'x-b': '2' })
    await page.hits({ 'x-a': '2', 'x-b': '2' }, 2)
    const mixed = await page.get({ 'x-a': '3', 'x-b': '1' })
    assert.equal(mixed.text, `${page.path} answer 3`)
  })

  it('RFC 9111 §4.1: a request with several lines of a field is another one than with their first', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'vary: x-a'] })
    await page.gets(1, 1, { 'x-a': '1' })
    await page.gets(2, 2, { 'x-a': '1', 'X-A': '2' })
    await page.hits({ 'x-a': '1' }, 1)
    // §4.1 lets lines of a field be combined, and nothing else.
    const joined = await page.get({ 'x-a': '1, 2' })
    assert.ok(['2', '3'].includes(joined.text.at(-1)!), joined.text)
  })

  it('Vary with 500 names is stored for those who match in all of them, or not at all', async () => {
    const names = Array.from({ length: 500 }, (_, at) => `x-${at}`)
    const page = rig().page(STANDARD, { fields: [FRESH, `vary: ${names.join(', ')}`] })
    await page.gets(1, 1, { 'x-499': '1' })
    const other = await page.get({ 'x-499': '2' })
    assert.equal(other.text, `${page.path} answer 2`)
    const same = await page.get({ 'x-499': '1' })
    assert.ok(['1', '3'].includes(same.text.at(-1)!), same.text)
  })

  it('2,000 variants of one page: each client gets its own, and the page next to it is kept', async () => {
    const page = rig().page(STANDARD, ({ fields }) => ({
      fields: [FRESH, 'vary: x-a'],
      body: `for ${fields.get('x-a')}`,
    }))
    const beside = rig().page(STANDARD, { fields: [FRESH] })
    await beside.gets(1, 1)
    const round = async (): Promise<void> => {
      for (let from = 0; from < 2_000; from += 50)
        await Promise.all(
          Array.from({ length: 50 }, async (_, at) => {
            const { text } = await page.get({ 'x-a': `v${from + at}` })
            assert.equal(text, `for v${from + at}`)
          }),
        )
    }
    await round()
    await beside.hits()
  })
}
