/** The example requests of `npm start`: the table that it prints, and the expected response of each for the test. */

export interface ExampleRequest {
  /** Description for the user. */
  readonly shows: string
  readonly host: string
  readonly path: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** So many requests by one line, of which the last one is expected. */
  readonly times?: number
  /** Seconds between them. */
  readonly pause?: number
  /** Size of the request body. */
  readonly bodyBytes?: number
  /** Name and password of HTTP Basic. */
  readonly user?: string
  /** Parameters of a form in the body. */
  readonly form?: Readonly<Record<string, string>>
  /** What of a response of {@link TOKEN_REQUEST} is sent: as a bearer token, or in the form. */
  readonly token?: 'access_token' | 'refresh_token'
  readonly expect: {
    readonly status: number
    /** A part of the response body. */
    readonly body?: string | RegExp
    readonly headers?: Readonly<Record<string, string | RegExp | undefined>>
  }
}

const USER = 'orders-app:secret-of-the-example-57c0be91'

export const TOKEN_REQUEST: ExampleRequest = {
  shows: 'a token, issued by the gateway itself',
  host: 'access.localhost',
  path: '/oauth2/token',
  user: USER,
  form: { grant_type: 'client_credentials' },
  expect: { status: 200, body: /"access_token":"[^"]+".*"refresh_token":"[^"]+"/ },
}

export const EXAMPLE_REQUESTS: readonly ExampleRequest[] = [
  {
    shows: 'the first route: three instances in turn (servedBy)',
    host: 'shop.localhost',
    path: '/',
    expect: { status: 200, body: /"servedBy":"shop-[123]"/ },
  },
  {
    shows: 'a wildcard host',
    host: 'anything.shop.localhost',
    path: '/',
    expect: { status: 200, headers: { 'x-rule': 'any-shop' } },
  },
  {
    shows: 'an exact host wins over the wildcard',
    host: 'exact.shop.localhost',
    path: '/',
    expect: { status: 200, headers: { 'x-rule': 'exact-shop' } },
  },
  {
    shows: 'the longest path prefix wins, by whole segments',
    host: 'paths.localhost',
    path: '/api/v1',
    expect: { status: 200, headers: { 'x-rule': 'api' } },
  },
  {
    shows: 'a regular expression over the path',
    host: 'paths.localhost',
    path: '/item/42',
    expect: { status: 200, headers: { 'x-rule': 'item' } },
  },
  {
    shows: 'matched by a header',
    host: 'match.localhost',
    path: '/',
    headers: { 'x-beta': '1' },
    expect: { status: 200, body: 'rule beta' },
  },
  {
    shows: 'matched by a query parameter',
    host: 'match.localhost',
    path: '/?v=2',
    expect: { status: 200, body: 'rule version' },
  },
  {
    shows: 'matched by a cookie',
    host: 'match.localhost',
    path: '/',
    headers: { cookie: 'canary=always' },
    expect: { status: 200, body: 'rule canary' },
  },
  {
    shows: 'matched by the method',
    host: 'match.localhost',
    path: '/',
    method: 'DELETE',
    expect: { status: 200, body: 'rule delete' },
  },
  {
    shows: "matched by the client's address",
    host: 'match.localhost',
    path: '/inside',
    expect: { status: 200, body: 'rule inside' },
  },
  {
    shows: 'a split: 9 of 10 to shop-1, 1 to shop-2',
    host: 'split.localhost',
    path: '/',
    expect: { status: 200, body: /"servedBy":"shop-[12]"/ },
  },
  {
    shows: 'weights 3:1:1; also /round-robin /least-request /random',
    host: 'balance.localhost',
    path: '/weighted',
    expect: { status: 200, body: /"servedBy":"shop-[123]"/ },
  },
  {
    shows: 'path prefix and Host rewritten (see path and host)',
    host: 'rewrite.localhost',
    path: '/api/items?page=2',
    expect: { status: 200, body: /"path":"\/items\?page=2".*"host":"api\.internal"/ },
  },
  {
    shows: 'path rewritten by captures',
    host: 'rewrite.localhost',
    path: '/v1/users/7',
    expect: { status: 200, body: '"path":"/users/7/v1"' },
  },
  {
    shows: 'a page of your own where an upstream is too late',
    host: 'pages.localhost',
    path: '/late?latency=5000',
    expect: {
      status: 504,
      body: '<h1>We are back in a moment</h1>',
      headers: { 'content-type': 'text/html; charset=utf-8' },
    },
  },
  {
    shows: 'headers set, added and removed, with variables',
    host: 'headers.localhost',
    path: '/hello',
    headers: { 'x-debug': '1' },
    expect: {
      status: 200,
      body: /^(?!.*x-debug).*"x-seen-path":"GET \/hello"/,
      headers: { 'x-request': /.+/, 'x-served-by': undefined },
    },
  },
  {
    shows: 'a redirect',
    host: 'answers.localhost',
    path: '/old/page',
    expect: { status: 301, headers: { location: /\/new\/page$/ } },
  },
  {
    shows: 'an answer without any Backend',
    host: 'answers.localhost',
    path: '/ping',
    expect: { status: 200, body: 'pong' },
  },
  {
    shows: 'a time-out: 504 after one second, with its reason',
    host: 'limits.localhost',
    path: '/slow?latency=5000',
    expect: { status: 504, body: 'ResponseHeadTimeout' },
  },
  {
    shows: 'a body over the limit: 413',
    host: 'limits.localhost',
    path: '/small',
    method: 'POST',
    bodyBytes: 2000,
    expect: { status: 413, body: 'BodyTooLarge' },
  },
  {
    shows: 'a flaky instance, tried again (attempts in the log)',
    host: 'flaky.localhost',
    path: '/',
    expect: { status: 200, body: '"servedBy":"flaky"' },
  },
  {
    shows: 'streamed in chunks as they come',
    host: 'shop.localhost',
    path: '/?chunks=5&every=100',
    expect: { status: 200, body: 'line 5 of 5' },
  },
  {
    shows: "another team's path under the same host, delegated",
    host: 'teams.localhost',
    path: '/cart/7',
    expect: { status: 200, headers: { 'x-team': 'team-cart' } },
  },
  {
    shows: 'a path that was not delegated: 404, with its reason',
    host: 'teams.localhost',
    path: '/admin',
    expect: { status: 404, body: 'RouteNotFound' },
  },
  {
    shows: 'a Backend that cannot be reached: 502',
    host: 'answers.localhost',
    path: '/unreachable',
    expect: { status: 502, body: 'ConnectFailure' },
  },
  {
    shows: 'a host that no Route names: 404',
    host: 'unknown.localhost',
    path: '/',
    expect: { status: 404, body: 'RouteNotFound' },
  },
  TOKEN_REQUEST,
  {
    shows: 'the token used: the service sees x-client',
    host: 'access.localhost',
    path: '/orders',
    token: 'access_token',
    expect: { status: 200, body: /"x-client":"orders-app"/ },
  },
  {
    shows: 'without one: 401, with what is wanted',
    host: 'access.localhost',
    path: '/orders',
    expect: { status: 401, headers: { 'www-authenticate': 'Bearer realm="access.localhost"' } },
  },
  {
    shows: 'the token refreshed: a refresh token works once',
    host: 'access.localhost',
    path: '/oauth2/token',
    user: USER,
    form: { grant_type: 'refresh_token' },
    token: 'refresh_token',
    expect: { status: 200, body: /"access_token":"[^"]+".*"refresh_token":"[^"]+"/ },
  },
  {
    shows: 'an API key: the service sees x-consumer',
    host: 'access.localhost',
    path: '/keys',
    headers: { 'x-api-key': 'key-of-the-example-9f2c41d7e8' },
    expect: { status: 200, body: /"x-consumer":"billing"/ },
  },
  {
    shows: 'a limit reached: the fourth of four is 429',
    host: 'access.localhost',
    path: '/limited',
    times: 4,
    expect: { status: 429, body: 'RateLimited', headers: { 'retry-after': /^\d+$/, ratelimit: /^"three";r=0;t=\d+$/ } },
  },
  {
    shows: 'the cache: a MISS takes 0.7 s, the same again is a HIT',
    host: 'cache.localhost',
    path: '/news?latency=700',
    times: 2,
    pause: 0,
    expect: { status: 200, headers: { 'cache-status': /;\s?hit/, age: /^\d+$/ } },
  },
  {
    shows: 'stale-while-revalidate: 2 s old and still served, while the next is fetched',
    host: 'cache.localhost',
    path: '/weather?latency=700',
    times: 2,
    pause: 2,
    expect: { status: 200, headers: { 'cache-status': /;\s?hit/, age: /^[2-9]\d*$/ } },
  },
  {
    shows: 'clear text is redirected to https where a Route states tls',
    host: 'tls.localhost',
    path: '/',
    expect: { status: 308, headers: { location: /^https:\/\/tls\.localhost(:\d+)?\/$/ } },
  },
  {
    shows: 'except for a rule that says otherwise',
    host: 'tls.localhost',
    path: '/clear',
    expect: { status: 200, headers: { 'strict-transport-security': undefined } },
  },
]

/** The line for a shell. */
export function curlLine(one: ExampleRequest, port: number): string {
  const words = ['curl']
  if (one.expect.status >= 300 || one.expect.headers !== undefined) words.push('-i')
  if (one.method !== undefined && one.bodyBytes === undefined) words.push('-X', one.method)
  if (one.user !== undefined) words.push('-u', quoted(one.user))
  for (const [name, value] of Object.entries(one.headers ?? {}))
    words.push(...(name === 'cookie' ? ['-b', quoted(value)] : ['-H', quoted(`${name}: ${value}`)]))
  for (const [name, value] of Object.entries(one.form ?? {})) words.push('-d', quoted(`${name}=${value}`))
  if (one.token === 'access_token') words.push('-H', `"Authorization: Bearer ${tokenLine(one.token, port)}"`)
  if (one.token === 'refresh_token') words.push('-d', `refresh_token=${tokenLine(one.token, port)}`)
  if (one.bodyBytes !== undefined) words.push('--data-binary', '@-')
  // curl sends a request for each number of a range.
  const range = one.times === undefined || one.pause !== undefined ? '' : `?[1-${one.times}]`
  words.push(quoted(`http://${one.host}${port === 80 ? '' : `:${port}`}${one.path}${range}`))
  const line = words.join(' ')
  if (one.pause !== undefined)
    return Array<string>(one.times ?? 1)
      .fill(line)
      .join(one.pause > 0 ? `; sleep ${one.pause}; ` : '; ')
  return one.bodyBytes === undefined ? line : `head -c ${one.bodyBytes} /dev/zero | ${line}`
}

/** A token of a response, for a line. */
function tokenLine(name: string, port: number): string {
  const member = `s/.*"${name}":"\\([^"]*\\).*/\\1/`
  return `$(${curlLine(TOKEN_REQUEST, port).replace('curl', 'curl -s')} | sed '${member}')`
}

function quoted(text: string): string {
  return /^[\w:/.=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
