import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BodySink, BodyStep } from '../../src/message/body.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

/** Doubles every chunk, after a while. */
class Doubling implements BodyStep {
  readonly #sink: BodySink
  readonly #wait: number
  readonly aborted: () => void
  #timer: NodeJS.Timeout | undefined
  #text = ''

  constructor(sink: BodySink, wait: number, aborted: () => void) {
    this.#sink = sink
    this.#wait = wait
    this.aborted = aborted
  }
  data(chunk: Uint8Array): boolean {
    this.#text += Buffer.from(chunk).toString()
    return true
  }
  end(): void {
    this.#timer = setTimeout(() => {
      this.#sink.write(Buffer.from(this.#text.repeat(2)))
      this.#sink.end(null)
    }, this.#wait)
  }
  drained(): void {}
  abort(): void {
    clearTimeout(this.#timer)
    this.aborted()
  }
}

function doubling(wait: number, aborted: () => void = () => {}): Filter {
  return {
    name: 'doubling',
    responseBody(_, head) {
      head.bodyLength = undefined
      return (sink) => new Doubling(sink, wait, aborted)
    },
  }
}

describe('the body of an answer that the gateway gives itself', () => {
  it('passes the steps of filters, which may take their time', async (t) => {
    const gateway = await inProcess(t, {
      rules: { all: {} },
      filters: [{ phase: 'compression', filter: doubling(10) }],
    })
    using client = await gateway.connect()
    for (let i = 0; i < 2; i++) {
      const answer = await client.request({ host: 'w.test' })
      assert.deepEqual([answer.text, answer.framing], ['okok', 'chunked'])
    }
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map((line) => line.bytesOut),
      [4, 4],
    )
  })

  it('is aborted when its client has gone: the step is notified', async (t) => {
    let aborted = 0
    const gateway = await inProcess(t, {
      rules: { all: {} },
      filters: [{ phase: 'compression', filter: doubling(60_000, () => aborted++) }],
    })
    const client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    while (gateway.holdings.exchanges === 0) await new Promise(setImmediate)
    client.reset()
    await gateway.nothingLeft()
    assert.equal(aborted, 1)
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
  })

  it('is not waited for without end', async (t) => {
    let aborted = 0
    const gateway = await inProcess(t, {
      rules: { all: { policies: { timeouts: { idle: '100ms' } } } },
      filters: [{ phase: 'compression', filter: doubling(60_000, () => aborted++) }],
    })
    using client = await gateway.connect()
    await assert.rejects(client.request({ host: 'w.test' }))
    await gateway.nothingLeft()
    assert.deepEqual([aborted, gateway.log()[0]!.reason], [1, 'RequestTimeout'])
  })

  it('of a refusal passes them too', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [],
      rules: toUp(),
      filters: [{ phase: 'compression', filter: doubling(1) }],
    })
    using client = await gateway.connect()
    const answer = await client.request({ host: 'w.test' })
    assert.equal(answer.status, 503)
    assert.match(answer.text, /"reason":"NoEndpoint"\}\s*\{/)
  })
})
