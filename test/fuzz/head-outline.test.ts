import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkPair, pair, seeds } from './head-outline.ts'
import { mutations } from './http1.ts'

const BROWSER = [
  ...[
    'GET /a?b=1 HTTP/1.1',
    'Host: page.test',
    'Connection: keep-alive',
    'User-Agent: Mozilla/5.0 (X11)',
    'Accept: */*',
  ],
  ...['TE: trailers', 'Cookie: a=b; c=d', 'X-Forwarded-For: 9.9.9.9', 'Content-Length: 0', '', ''],
].join('\r\n')

describe('heads that are compared with one that was read before', () => {
  for (const seed of seeds) it(`takes ${JSON.stringify(seed)} as the parser does`, () => void checkPair(seed))

  it('are taken for it where values differ that nobody has read, and only there', () => {
    const other = BROWSER.replace('X11', 'Macintosh; Intel').replace('a=b', 'e=f').replace('*/*', 'text/html')
    assert.ok(checkPair([BROWSER, BROWSER]))
    assert.ok(checkPair([BROWSER, other]))
    for (const [from, to] of [
      ['keep-alive', 'close'],
      ['page.test', 'Page.test'],
      ['trailers', 'gzip'],
      ['Length: 0', 'Length: 1'],
      ['Cookie', 'cookie'],
      ['Cookie: a=b', 'Transfer-Encoding: chunked'],
      ['b=1', 'b=2'],
      ['GET', 'PUT'],
    ] as const)
      assert.equal(checkPair([BROWSER, BROWSER.replace(from, to)]), false, to)
  })

  it('are what the parser takes for the same, whatever byte of them differs', () => {
    let taken = 0
    for (const mutant of mutations(BROWSER)) if (checkPair([BROWSER, mutant])) taken++
    assert.ok(taken > 1_000, `${taken} taken for it`)
  })

  it('are what the parser takes for the same, whatever they are put together of', () => {
    let taken = 0
    fc.assert(
      fc.property(pair, (one) => void (checkPair(one) && taken++)),
      { numRuns: 5_000 },
    )
    assert.ok(taken > 200, `${taken} taken for the first`)
  })
})
