import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { REASON_LIST, REASONS, type ReasonInfo } from '../../src/lib/reason.ts'
import { problemResponse, problemType } from '../../src/policy/problem.ts'
import { pairs } from './exchange.ts'

const ANSWERED = REASON_LIST.filter((reason) => REASONS[reason].status !== 0)

describe('a problem document', () => {
  for (const reason of ANSWERED)
    it(`for ${reason} is valid JSON with all members of RFC 9457 and the reason`, () => {
      const answer = problemResponse(reason, { id: '0123abcd' })
      const { status, title } = REASONS[reason]
      assert.equal(answer.status, status)
      assert.equal(answer.reason, reason)
      assert.deepEqual(JSON.parse(Buffer.from(answer.body!).toString('utf8')), {
        type: `https://headgate.dev/errors/${reason}`,
        title,
        status,
        instance: '0123abcd',
        reason,
      })
    })

  it('has a content type, and forbids caching', () => {
    assert.deepEqual(pairs(problemResponse('RouteNotFound', { id: 'x' }).fields), [
      ['content-type', 'application/problem+json'],
      ['cache-control', 'no-store'],
    ])
  })

  it('with 405 lists the allowed methods', () => {
    assert.match(problemResponse('ConnectNotAllowed', { id: 'x' }).fields.get('allow') ?? '', /^GET, /)
  })

  it('is named by a URI', () => {
    for (const reason of ANSWERED) assert.ok(URL.canParse(problemType(reason)))
  })
})

describe('docs/errors.md', () => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\S+) \| (.+?) \| (.+?) \|$/gm)]

  it('lists every reason once, with its status and whether the connection is closed', () => {
    const listed = rows.map(([, reason, status, meaning]) => `${reason} ${status} ${meaning!.startsWith('† ')}`)
    const expected = REASON_LIST.map((reason) => {
      const { status, close }: ReasonInfo = REASONS[reason]
      return `${reason} ${status || '—'} ${close === true}`
    })
    assert.deepEqual(listed.toSorted(), expected.toSorted())
    assert.equal(new Set(listed).size, listed.length)
  })

  it('explains the meaning and the remedy of each', () => {
    for (const [, reason, , meaning, remedy] of rows)
      assert.ok(meaning!.length > 20 && remedy!.length > 10, `${reason} is explained too shortly`)
  })
})
