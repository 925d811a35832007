// What a reader, or a program that reads to one, would stumble over: told to the page that frames this one.
const heard = [];
for (const kind of ['error', 'securitypolicyviolation']) {
  window.addEventListener(kind, event => heard.push(`${kind} ${event.message || ''}`), true);
}
for (const kind of ['error', 'warn']) {
  console[kind] = (...said) => heard.push(said.join(' '));
}
window.addEventListener('load', () => {
  const faults = [];
  const say = (what, element) => faults.push(what + ': ' + element.outerHTML.slice(0, 80));
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    faults.push(`the page is ${root.scrollWidth} wide in ${root.clientWidth}`);
  }
  if (!root.lang) faults.push('no language');
  if (!document.title) faults.push('no title');
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  for (const chart of document.querySelectorAll('svg')) {
    if (chart.getAttribute('role') !== 'img' || !chart.getAttribute('aria-label')) {
      say('chart without label', chart);
    }
    const box = chart.getBoundingClientRect();
    if (box.width < 100 || box.height < 20) say('chart without size', chart);
  }
  for (const link of document.querySelectorAll('a')) {
    if (!link.textContent.trim()) say('empty link', link);
  }
  for (const image of document.querySelectorAll('img')) {
    if (!image.alt) say('image without text', image);
  }
  const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
  if (new Set(ids).size < ids.length) faults.push('an id twice');
  const number = text => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const light = text => number(text).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const under = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$/.test(colour)) return light(colour);
    }
    return 1;
  };
  for (const element of document.querySelectorAll('h1, h2, p, th, td, span, summary, footer, code')) {
    const [a, b] = [light(getComputedStyle(element).color), under(element)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) say('contrast ' + contrast.toFixed(1), element);
  }
  const asked = performance.getEntriesByType('resource').map(entry => entry.name);
  for (const name of asked) if (!name.startsWith('data:')) faults.push('asked for ' + name);
  parent.postMessage({
    faults: faults.concat(heard),
    isDark: matchMedia('(prefers-color-scheme: dark)').matches,
    width: innerWidth,
    dom: root.outerHTML,
  }, '*');
});
