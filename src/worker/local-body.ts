/** The body of a response of the gateway itself, where it is a stream or passes steps of filters. */
import type { BodyStepFactory } from '../message/body.ts'
import { composeBody } from '../message/body-pipe.ts'
import { discardBody, isComplete, type LocalResponse } from '../message/local-response.ts'
import type { ProxyExchange } from './exchange.ts'
import type { Flow } from './flow.ts'

/** The head has been sent. */
export function sendLocalBody(
  flow: Flow,
  x: ProxyExchange,
  response: LocalResponse,
  steps: readonly BodyStepFactory[],
): void {
  const stream = !isComplete(response)
  const pipe = composeBody(
    steps,
    {
      write: (chunk) => {
        x.lastActivity = flow.timers.now
        flow.sendChunk(x, chunk)
        // A stream may pause for long; what is in memory leaves in one go with its end.
        if (stream) x.downstream.flush()
        return x.downstream.room
      },
      end: (trailers) => {
        x.answerSource = null
        x.downstream.sendEnd(trailers)
        flow.finish(x)
      },
      fail: (error) => flow.fail(x, error),
    },
    () => x.answerSource?.resume(),
  )
  x.answerBody = pipe
  const { body } = response
  if (body === null) pipe.end(null)
  else if (body instanceof Uint8Array) {
    pipe.write(body)
    pipe.end(null)
  } else if (x.method === 'HEAD') {
    discardBody(response)
    pipe.end(null)
  } else {
    const source = body.start(pipe)
    if (x.ended) source.abort()
    else x.answerSource = source
  }
}
