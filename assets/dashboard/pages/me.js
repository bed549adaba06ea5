export const title = "me"; export function show() {}
