/** A browser as far as sign-ins need one: cookies by host, redirects, the headers of a navigation. */
import { type IncomingHttpHeaders, request } from 'node:http'

export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface PageRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' } as const
export const SCRIPT = { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', accept: '*/*' } as const

const MAX_REDIRECTS = 20

export class PageClient {
  /** By host, without ports (RFC 6265 §8.5). */
  readonly cookies = new Map<string, Map<string, string>>()
  /** Of the last page: all on the way to it. */
  readonly way: Page[] = []

  /** One request, whatever it is answered. */
  async ask(url: string, { method = 'GET', headers = NAVIGATION, body }: PageRequest = {}): Promise<Page> {
    const { hostname, port, pathname, search, host } = new URL(url)
    const cookie = [...(this.cookies.get(hostname) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ')
    const all = { ...headers, host, ...(cookie === '' ? {} : { cookie }) }
    return await new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, method, path: pathname + search, headers: all, agent: false },
        (response) => {
          this.#keep(hostname, response.headers['set-cookie'] ?? [])
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            resolve({ url, status: response.statusCode!, headers: response.headers, text })
          })
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
  }

  /** Follows redirects, and the form of a page that submits itself. */
  async open(url: string, first: PageRequest = {}): Promise<Page> {
    this.way.length = 0
    let page = await this.ask(url, first)
    for (let i = 0; i < MAX_REDIRECTS; i++) {
      this.way.push(page)
      const { location } = page.headers
      if (page.status >= 300 && page.status < 400 && location !== undefined)
        page = await this.ask(new URL(location, page.url).href)
      else if (page.text.includes('onload="document.forms[0].submit()"')) page = await this.#submit(page)
      else return page
    }
    throw new Error(`too many redirects: ${this.way.map(({ url: one }) => one).join('\n')}`)
  }

  #submit(page: Page): Promise<Page> {
    const [, action] = /action="([^"]+)"/.exec(page.text)!
    const form = new URLSearchParams()
    for (const [input] of page.text.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1]
      if (name !== undefined) form.set(name, /value="([^"]*)"/.exec(input)?.[1] ?? '')
    }
    const headers = { ...NAVIGATION, 'content-type': 'application/x-www-form-urlencoded' }
    return this.ask(new URL(action!, page.url).href, { method: 'POST', headers, body: form.toString() })
  }

  #keep(host: string, lines: readonly string[]): void {
    const jar = this.cookies.get(host) ?? new Map<string, string>()
    this.cookies.set(host, jar)
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split('; ')
      const equals = pair.indexOf('=')
      const name = pair.slice(0, equals)
      if (attributes.includes('Max-Age=0') || /expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name)
      else jar.set(name, pair.slice(equals + 1))
    }
  }
}
